"""Seldon's messages: a request's payload as inputs by the schema, and the model's answers as a message."""

import base64
import binascii
import math
from http import HTTPStatus
from io import BytesIO
from typing import Any

import numpy as np
import orjson

from . import limits

EXAMPLE = '{"data": {"ndarray": [...]}}'


class Refusal(Exception):
    """A request that is answered by an error: its HTTP status, what was wrong and the rule."""

    def __init__(self, code: int, info: str, **headers: str) -> None:
        super().__init__(info)
        self.code, self.info, self.headers = code, info, headers

    def as_json(self) -> bytes:
        reason = HTTPStatus(self.code).phrase.upper().replace(" ", "_")
        return orjson.dumps({"status": {"status": "FAILURE", "code": self.code, "reason": reason, "info": self.info}})


def parse(body: bytes | str) -> dict[str, Any]:
    """Return a JSON body as a message."""
    if not body:
        raise Refusal(400, f"The body is empty: send {EXAMPLE} with Content-Type: application/json.")
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    if not isinstance(message, dict):
        raise Refusal(400, f"The body must be a JSON object, such as {EXAMPLE}.")
    return message


def parse_form(body: bytes, content_type: str) -> dict[str, Any]:
    """Return a form as a message: a field `json` with all of it, or a field for each part, binData as a file."""
    from werkzeug.exceptions import RequestEntityTooLarge  # here: few callers send forms
    from werkzeug.formparser import parse_form_data

    environ = {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": content_type}
    try:
        if not content_type.lower().startswith("multipart") and body.count(b"&") >= limits.FORM_FIELDS:
            raise RequestEntityTooLarge  # werkzeug counts the parts of multipart alone
        _, fields, files = parse_form_data(
            {"REQUEST_METHOD": "POST", **environ},
            stream_factory=lambda *_, **__: BytesIO(),  # a long file would go to the disk
            max_form_memory_size=limits.BODY_BYTES,
            max_form_parts=limits.FORM_FIELDS,
        )
    except RequestEntityTooLarge:
        raise Refusal(413, f"A form has at most {limits.FORM_FIELDS} fields.") from None
    message: dict[str, Any] = {name: file.read() for name, file in files.items()}
    for name, text in fields.items():
        if name == "json":
            message |= parse(text)
        elif name == "binData":
            message[name] = text
        elif name in ("data", "meta"):
            message[name] = parse(text)
    if not message:
        raise Refusal(415, "A form holds `json`, a message, or `data` or `binData`. Or send application/json.")
    return message


def payload(message: dict[str, Any]) -> tuple[Any, list[str], str]:
    """Return what a message holds (lists, an array or bytes), the names beside it, and the form to answer in.

    Raises:
        Refusal: it holds nothing, or two things.
    """
    given = {kind: message[kind] for kind in ("data", "binData", "jsonData") if message.get(kind) is not None}
    if len(given) != 1:
        raise Refusal(400, 'Send either "data", with "ndarray" or "tensor", or "binData", or "jsonData".')
    if "binData" in given:
        return _bytes(given["binData"]), [], "ndarray"
    if "jsonData" in given:
        return given["jsonData"], [], "ndarray"
    data = given["data"]
    if not isinstance(data, dict):
        raise Refusal(400, '"data" must be an object with "ndarray" or "tensor".')
    values, tensor, names = data.get("ndarray"), data.get("tensor"), data.get("names") or []
    if not isinstance(names, list):
        raise Refusal(400, "data.names must be a list.")
    if (values is None) == (tensor is None):
        raise Refusal(400, '"data" must hold either "ndarray" or "tensor".')
    if tensor is not None:
        return _tensor(tensor), names, "tensor"
    if not isinstance(values, list):
        raise Refusal(400, "data.ndarray must be a list of numbers.")
    return values, names, "ndarray"


def part(message: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return an object inside a message, such as meta.routing; an empty one where there is none."""
    for name in names:
        message = {} if message.get(name) is None else message[name]
        if not isinstance(message, dict):
            raise Refusal(400, f'"{".".join(names)}" must be an object, or left out.')
    return message


def _tensor(tensor: Any) -> np.ndarray:
    """{"shape": [...], "values": [...]} as an array."""
    if not isinstance(tensor, dict) or "shape" not in tensor or "values" not in tensor:
        raise Refusal(400, 'data.tensor must hold "shape" and "values".')
    shape = tensor["shape"]
    if isinstance(shape, list) and len(shape) > limits.DIMENSIONS:
        raise Refusal(400, f"data.tensor.shape has {len(shape)} dimensions; at most {limits.DIMENSIONS} are taken.")
    if not isinstance(shape, list) or not all(type(size) is int and 0 <= size <= limits.BODY_BYTES for size in shape):
        raise Refusal(400, "data.tensor.shape must be a list of whole numbers.")
    if not isinstance(tensor["values"], list):
        raise Refusal(400, "data.tensor.values must be a list of numbers.")
    try:
        values = np.array(tensor["values"])
    except (ValueError, TypeError, OverflowError, RecursionError):
        values = np.array(None)
    if values.ndim != 1 or values.size != math.prod(shape):
        raise Refusal(400, "data.tensor.values must be one flat list, of as many numbers as data.tensor.shape says.")
    return values.reshape(shape)


def _bytes(text: Any) -> bytes:
    """Return binData: base64, also wrapped or URL-safe; from a file of a form, the bytes themselves."""
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str):
        raise Refusal(400, "binData must be base64 text of one byte for each value, row by row.")
    try:
        return binascii.a2b_base64(text, strict_mode=True)  # b64decode's own check takes longer than the rest
    except ValueError:
        pass
    try:
        plain = "".join(text.split()).replace("-", "+").replace("_", "/").rstrip("=")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        raise Refusal(400, "binData is not base64: send one byte for each value in base64, row by row.") from None


def echo(message: dict[str, Any]) -> dict[str, Any]:
    """Return what of a request's meta goes back with the answer: its puid and its tags."""
    if "meta" not in message:
        return {}
    puid, tags = part(message, "meta").get("puid"), part(message, "meta", "tags")
    if not isinstance(puid, str | None):
        raise Refusal(400, '"meta.puid" must be text, or left out.')
    kept = {key: value for key, value in (("puid", puid), ("tags", tags)) if value}
    if not _nested_at_most(limits.ECHO_DEPTH, kept):
        raise Refusal(400, f"meta.tags are nested deeper than {limits.ECHO_DEPTH}.")
    if len(orjson.dumps(kept)) > limits.ECHO_BYTES:
        raise Refusal(413, f"meta.tags and meta.puid hold at most {limits.ECHO_BYTES // 1024} KiB.")
    return kept


def _nested_at_most(levels: int, value: Any) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels >= 0 and all(_nested_at_most(levels - 1, part) for part in parts)


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
