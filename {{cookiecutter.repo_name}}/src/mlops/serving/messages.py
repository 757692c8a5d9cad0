"""A request in: what a Seldon message may hold, and what is said when it holds something else."""

import base64
import binascii
import math

import numpy as np
import orjson
from werkzeug.exceptions import BadRequest

from ..errors import Refused

MOST_EXAMPLES = 1024  # in one request
MOST_BYTES = 8 * 1024 * 1024  # of one request: 1,024 digits as JSON numbers with a few decimals


def read_json(body) -> dict:
    """Return a request's body, bytes or text, as a Seldon message."""
    if not body:
        raise BadRequest('The body is empty: send {"data": {"ndarray": [...]}} with Content-Type: application/json.')
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    if not isinstance(message, dict):
        raise BadRequest('The body must be a JSON object, such as {"data": {"ndarray": [...]}}.')
    return message


def read_inputs(message: dict, schema) -> tuple[np.ndarray, str]:
    """Return the inputs of a Seldon message, float32 [N, *shape], and the form to answer in ("ndarray" or "tensor").

    Raises:
        BadRequest: the message does not hold inputs of this schema; the text says the rule.
    """
    data, binary = message.get("data"), message.get("binData")
    if (data is None) == (binary is None):
        raise BadRequest('Send either "data", with "ndarray" or "tensor", or "binData".')
    if binary is not None:
        return checked(schema.read_bytes, _bytes(binary)), "ndarray"
    if not isinstance(data, dict):
        raise BadRequest('"data" must be an object with "ndarray" or "tensor".')
    values, tensor = data.get("ndarray"), data.get("tensor")
    if (values is None) == (tensor is None):
        raise BadRequest('"data" must hold either "ndarray" or "tensor".')
    if tensor is not None:
        return checked(schema.read_array, _tensor(tensor)), "tensor"
    return checked(schema.read_json, values, "data.ndarray"), "ndarray"


def checked(read, *arguments) -> np.ndarray:
    """Return what the schema reads, no more than MOST_EXAMPLES of it; its refusals are the caller's mistake."""
    try:
        inputs = read(*arguments)
    except Refused as refusal:
        raise BadRequest(str(refusal)) from None
    if len(inputs) > MOST_EXAMPLES:
        raise BadRequest(
            f"At most {MOST_EXAMPLES} examples in one request; these are {len(inputs)}. Send several requests."
        )
    return inputs


def _tensor(tensor) -> np.ndarray:
    """A Seldon tensor ({"shape": [...], "values": [...]}) as an array."""
    if not isinstance(tensor, dict) or "shape" not in tensor or "values" not in tensor:
        raise BadRequest('data.tensor must hold "shape" and "values".')
    shape = tensor["shape"]
    if not isinstance(shape, list) or not all(type(size) is int and 0 <= size <= MOST_BYTES for size in shape):
        raise BadRequest("data.tensor.shape must be a list of whole numbers.")
    if not isinstance(tensor["values"], list):
        raise BadRequest("data.tensor.values must be a list of numbers.")
    try:
        values = np.array(tensor["values"])
    except (ValueError, TypeError, OverflowError, RecursionError):
        values = np.array(None)
    if values.ndim != 1 or values.size != math.prod(shape):
        raise BadRequest("data.tensor.values must be one flat list, of as many numbers as data.tensor.shape says.")
    if values.size and values.dtype.kind not in "iuf":
        raise BadRequest("data.tensor.values holds something that is not a number.")
    return values.reshape(shape)


def _bytes(text) -> bytes:
    """binData: base64 of one byte for each value."""
    if not isinstance(text, str | bytes):
        raise BadRequest("binData must be base64 text of one byte for each value, row by row.")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest("binData is not base64: send one byte for each value in base64, row by row.") from None


def read_meta(message: dict) -> dict:
    """Return what of a request's meta goes into the answer's: the request's id and tags, as the wrapper does."""
    meta = message.get("meta")
    if meta is None:
        return {}
    if not isinstance(meta, dict):
        raise BadRequest('"meta" must be an object, or left out.')
    puid, tags = meta.get("puid"), meta.get("tags")
    if not isinstance(puid, str | None) or not isinstance(tags, dict | None):
        raise BadRequest('"meta.puid" must be text and "meta.tags" an object, or left out.')
    return {key: value for key, value in (("puid", puid), ("tags", tags)) if value}
