"""Seldon's messages: read a request's values, and write the model's answers."""

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
MULTIPART, URLENCODED = "multipart/form-data", "application/x-www-form-urlencoded"
FIELDS = ("json", "data", "meta", "binData")  # of a form


def parse(body: bytes, headers: dict[bytes, bytes]) -> dict[str, Any]:
    """Return a body, JSON or a form, as a message."""
    encoding = headers.get(b"content-encoding", b"identity").decode("latin-1")
    content_type = headers.get(b"content-type", b"").decode("latin-1")
    media_type = content_type.partition(";")[0].strip().lower()
    if encoding.lower() != "identity":
        raise Refused(f"Content-Encoding {encoding[:40]} is not read: leave it out.", 415)
    if media_type in (MULTIPART, URLENCODED):
        return _parse_form(body, content_type)
    if media_type != "application/json":
        raise Refused("Send the request as JSON, with Content-Type: application/json.", 415)
    return _parse_json(body)


def _parse_json(text: bytes | str) -> dict[str, Any]:
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Refused(f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    if not isinstance(message, dict):
        raise Refused('The body must be a JSON object, such as {"data": {"ndarray": [...]}}.')
    return message


def _parse_form(body: bytes, content_type: str) -> dict[str, Any]:
    """Return a form as a message: `json` holds a whole one, each other field a part of one."""
    from werkzeug.exceptions import RequestEntityTooLarge  # here: few callers send forms
    from werkzeug.formparser import FormDataParser
    from werkzeug.http import parse_options_header

    parser = FormDataParser(
        stream_factory=lambda *_, **__: BytesIO(),  # a long file would go to the disk
        max_form_memory_size=limits.BODY_BYTES,
        max_form_parts=limits.FORM_FIELDS,
    )
    media_type, options = parse_options_header(content_type)
    try:
        if media_type == URLENCODED and body.count(b"&") >= limits.FORM_FIELDS:
            raise RequestEntityTooLarge  # werkzeug counts the parts of multipart alone
        _, fields, files = parser.parse(BytesIO(body), media_type, len(body), options)
    except RequestEntityTooLarge:
        raise Refused(f"A form has at most {limits.FORM_FIELDS} fields.", 413) from None
    given = fields.to_dict() | {name: file.read() for name, file in files.items()}
    parts = {name: given[name] if name == "binData" else _parse_json(given[name]) for name in FIELDS if name in given}
    if not parts:
        raise Refused("A form holds `json`, a message, or `data` or `binData`. Or send application/json.", 415)
    return parts.pop("json", {}) | parts


def payload(message: dict[str, Any]) -> tuple[Any, list[str], str]:
    """Return what a message holds (lists, an array or bytes), the names beside it, and the form to answer in.

    Raises:
        Refused: it holds nothing, or two things.
    """
    rule = 'Send either "data", with "ndarray" or "tensor", or "binData", or "jsonData".'
    kind, content = _one_of(("data", "binData", "jsonData"), message, rule)
    if kind != "data":
        return _bytes(content) if kind == "binData" else content, [], "ndarray"
    rule = '"data" must be an object that holds either "ndarray" or "tensor".'
    form, values = _one_of(("ndarray", "tensor"), content, rule)
    names = content.get("names") or []
    if not isinstance(names, list):
        raise Refused("data.names must be a list.")
    if form == "ndarray" and not isinstance(values, list):
        raise Refused("data.ndarray must be a list of numbers.")
    return _tensor(values) if form == "tensor" else values, names, form


def _one_of(names: tuple[str, ...], message: Any, rule: str) -> tuple[str, Any]:
    found = [(name, message[name]) for name in names if isinstance(message, dict) and message.get(name) is not None]
    if len(found) != 1:
        raise Refused(rule)
    return found[0]


def part(message: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return an object inside a message, such as meta.routing; an empty one where there is none."""
    for name in names:
        message = {} if message.get(name) is None else message[name]
        if not isinstance(message, dict):
            raise Refused(f'"{".".join(names)}" must be an object, or left out.')
    return message


def _tensor(tensor: Any) -> np.ndarray:
    """{"shape": [...], "values": [...]} as an array."""
    try:
        shape, values = tuple(tensor["shape"]), np.array(tensor["values"])
        if len(shape) > limits.DIMENSIONS or not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError  # before sizes are multiplied
        if values.shape != (math.prod(shape),):
            raise ValueError
    except (KeyError, ValueError, TypeError, OverflowError, RecursionError):
        raise Refused(TENSOR) from None
    return values.reshape(shape)


def _bytes(text: Any) -> bytes:
    """Read binData: base64, also wrapped or URL-safe; a file of a form holds the bytes themselves."""
    if isinstance(text, bytes):
        return text
    try:
        plain = "".join(text.split()).replace("-", "+").replace("_", "/").rstrip("=")
        return binascii.a2b_base64(plain + "=" * (-len(plain) % 4), strict_mode=True)
    except (AttributeError, ValueError):
        raise Refused("binData must be base64 text of one byte for each value, row by row.") from None


def echo(message: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a request's meta that goes back with the answer: its puid and its tags."""
    puid, tags = part(message, "meta").get("puid"), part(message, "meta", "tags")
    if not isinstance(puid, str | None):
        raise Refused('"meta.puid" must be text, or left out.')
    kept = {"tags": tags, "puid": puid} if puid else {"tags": tags}
    try:
        length = len(to_json(kept))
    except orjson.JSONEncodeError:
        raise Refused("meta.tags are nested too deep: JSON is written with at most 254 levels.") from None
    if length > limits.ECHO_BYTES:
        raise Refused(f"meta.tags and meta.puid hold at most {limits.ECHO_BYTES // 1024} KiB.", 413)
    return kept


def answer(answers: Any, names: list[str], form: str, meta: dict[str, Any]) -> bytes:
    """Return what a method of the model gave as a message in JSON."""
    if isinstance(answers, dict | str):
        return to_json({"jsonData" if isinstance(answers, dict) else "strData": answers, "meta": meta})
    array = np.ascontiguousarray(answers)
    if array.dtype.kind not in "iuf":  # names, perhaps: a tensor holds numbers alone
        return to_json({"data": {"names": names, "ndarray": array.tolist()}, "meta": meta})
    values = {"shape": array.shape, "values": array.ravel()} if form == "tensor" else array
    return to_json({"data": {"names": names, form: values}, "meta": meta})


def failure(code: int, info: str) -> bytes:
    """Return Seldon's message of a refusal."""
    reason = HTTPStatus(code).phrase.upper().replace(" ", "_")
    return to_json({"status": {"status": "FAILURE", "code": code, "reason": reason, "info": info}})


def to_json(content: dict[str, Any]) -> bytes:
    """Return JSON; arrays in it become lists."""
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
