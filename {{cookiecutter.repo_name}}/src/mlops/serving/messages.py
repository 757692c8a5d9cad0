"""Seldon's messages: a request's payload as inputs by the schema, and the model's answers as a message."""

import binascii
import math
from http import HTTPStatus
from io import BytesIO
from typing import Any

import numpy as np
import orjson

from ..errors import Refused
from . import limits

TENSOR = (
    f'data.tensor must hold "shape", a list of at most {limits.DIMENSIONS} whole numbers, '
    'and "values", one flat list of numbers, as many as the shape says.'
)
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")


class Refusal(Refused):
    """A request that is answered by an error: its HTTP status, what was wrong and the rule."""

    def __init__(self, code: int, info: str, *headers: tuple[str, str]) -> None:
        super().__init__(info)
        self.code, self.headers = code, headers


def failure(code: int, info: str) -> bytes:
    """Return Seldon's message of a refusal."""
    reason = HTTPStatus(code).phrase.upper().replace(" ", "_")
    return to_json({"status": {"status": "FAILURE", "code": code, "reason": reason, "info": info}})


def parse(body: bytes, headers: dict[bytes, bytes]) -> dict[str, Any]:
    """Return a body, JSON or a form, as a message."""
    encoding = headers.get(b"content-encoding", b"identity").decode("latin-1")
    content_type = headers.get(b"content-type", b"").decode("latin-1")
    media_type = content_type.partition(";")[0].strip().lower()
    if encoding.lower() != "identity":
        raise Refusal(415, f"Content-Encoding {encoding[:40]} is not read: leave it out.")
    if media_type in FORMS:
        return _parse_form(body, content_type)
    if media_type != "application/json":
        raise Refusal(415, "Send the request as JSON, with Content-Type: application/json.")
    return _parse_json(body)


def _parse_json(body: bytes | str) -> dict[str, Any]:
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    if not isinstance(message, dict):
        raise Refused('The body must be a JSON object, such as {"data": {"ndarray": [...]}}.')
    return message


def _parse_form(body: bytes, content_type: str) -> dict[str, Any]:
    """A field `json` with the whole message, or a field for each part, binData as a file or as text."""
    from werkzeug.exceptions import RequestEntityTooLarge  # here: few callers send forms
    from werkzeug.formparser import parse_form_data

    environ = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(body))}
    try:
        if content_type.lower().startswith(FORMS[1]) and body.count(b"&") >= limits.FORM_FIELDS:
            raise RequestEntityTooLarge  # werkzeug counts the parts of multipart alone
        _, fields, files = parse_form_data(
            {"wsgi.input": BytesIO(body), **environ},
            stream_factory=lambda *_, **__: BytesIO(),  # a long file would go to the disk
            max_form_memory_size=limits.BODY_BYTES,
            max_form_parts=limits.FORM_FIELDS,
        )
    except RequestEntityTooLarge:
        raise Refusal(413, f"A form has at most {limits.FORM_FIELDS} fields.") from None
    message: dict[str, Any] = {name: file.read() for name, file in files.items()}
    for name, text in fields.items():
        if name == "json":
            message |= _parse_json(text)
        elif name == "binData":
            message[name] = text
        elif name in ("data", "meta"):
            message[name] = _parse_json(text)
    if not message:
        raise Refusal(415, "A form holds `json`, a message, or `data` or `binData`. Or send application/json.")
    return message


def payload(message: dict[str, Any]) -> tuple[Any, list[str], str]:
    """Return what a message holds (lists, an array or bytes), the names beside it, and the form to answer in.

    Raises:
        Refused: it holds nothing, or two things.
    """
    given = [kind for kind in ("data", "binData", "jsonData") if message.get(kind) is not None]
    if len(given) != 1:
        raise Refused('Send either "data", with "ndarray" or "tensor", or "binData", or "jsonData".')
    content = message[given[0]]
    if given == ["binData"]:
        return _bytes(content), [], "ndarray"
    if given == ["jsonData"]:
        return content, [], "ndarray"
    forms = [form for form in ("ndarray", "tensor") if isinstance(content, dict) and content.get(form) is not None]
    if len(forms) != 1:
        raise Refused('"data" must be an object that holds either "ndarray" or "tensor".')
    names = content.get("names") or []
    if not isinstance(names, list):
        raise Refused("data.names must be a list.")
    if forms == ["tensor"]:
        return _tensor(content["tensor"]), names, "tensor"
    if not isinstance(content["ndarray"], list):
        raise Refused("data.ndarray must be a list of numbers.")
    return content["ndarray"], names, "ndarray"


def part(message: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return an object inside a message, such as meta.routing; an empty one where there is none."""
    for name in names:
        message = {} if message.get(name) is None else message[name]
        if not isinstance(message, dict):
            raise Refused(f'"{".".join(names)}" must be an object, or left out.')
    return message


def _tensor(tensor: Any) -> np.ndarray:
    """{"shape": [...], "values": [...]} as an array."""
    given = tensor if isinstance(tensor, dict) else {}
    shape = given.get("shape")
    if not isinstance(shape, list) or len(shape) > limits.DIMENSIONS:
        raise Refused(TENSOR)
    try:
        values = np.array(given.get("values"))
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise Refused(TENSOR) from None
    if not all(type(size) is int and size >= 0 for size in shape) or values.shape != (math.prod(shape),):
        raise Refused(TENSOR)
    return values.reshape(shape)


def _bytes(text: Any) -> bytes:
    """Return binData: base64, also wrapped or URL-safe; from a file of a form, the bytes themselves."""
    if isinstance(text, bytes):
        return text
    try:
        plain = "".join(text.split()).replace("-", "+").replace("_", "/").rstrip("=")
        padding = "=" * (-len(plain) % 4)
        return binascii.a2b_base64(plain + padding, strict_mode=True)
    except (AttributeError, ValueError):
        raise Refused("binData must be base64 text of one byte for each value, row by row.") from None


def echo(message: dict[str, Any]) -> dict[str, Any]:
    """Return what of a request's meta goes back with the answer: its puid and its tags."""
    if "meta" not in message:
        return {}
    puid, tags = part(message, "meta").get("puid"), part(message, "meta", "tags")
    if not isinstance(puid, str | None):
        raise Refused('"meta.puid" must be text, or left out.')
    kept = {key: value for key, value in (("puid", puid), ("tags", tags)) if value}
    try:
        length = len(to_json({"meta": kept}))
    except orjson.JSONEncodeError:
        raise Refused("meta.tags are nested too deep: JSON is written with at most 254 levels.") from None
    if length > limits.ECHO_BYTES:
        raise Refusal(413, f"meta.tags and meta.puid hold at most {limits.ECHO_BYTES // 1024} KiB.")
    return kept


def answer(answers: Any, names: list[str], form: str, meta: dict[str, Any]) -> bytes:
    """Return what a model's method gave as a message in JSON."""
    if isinstance(answers, dict):
        return to_json({"jsonData": answers, "meta": meta})
    if isinstance(answers, str):
        return to_json({"strData": answers, "meta": meta})
    array = np.ascontiguousarray(answers)
    if array.dtype.kind not in "iuf":  # names, perhaps: a tensor holds numbers alone
        return to_json({"data": {"names": names, "ndarray": array.tolist()}, "meta": meta})
    values = {"shape": array.shape, "values": array.ravel()} if form == "tensor" else array
    return to_json({"data": {"names": names, form: values}, "meta": meta})


def to_json(content: dict[str, Any]) -> bytes:
    """Return JSON; arrays in it become lists."""
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
