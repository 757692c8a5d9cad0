"""A request in: what a Seldon message may hold, and what is said when it holds something else.

To accept other inputs than digits, change `as_images` and the limits.
"""

import base64
import binascii
import math
from itertools import chain

import numpy as np
import orjson
from werkzeug.exceptions import (
    BadRequest,
)

SIDE = 28
PIXELS = SIDE * SIDE
MOST_IMAGES = 1024  # in one request
MOST_BYTES = 8 * 1024 * 1024  # of one request: 1,024 images as JSON numbers with a few decimals
SHAPES = f"N x {SIDE} x {SIDE}, N x {PIXELS}, N x 1 x {SIDE} x {SIDE} or one {SIDE} x {SIDE}"


def _from_bytes(values: list) -> np.ndarray:
    """Lists of whole numbers from 0 to 255 as uint8, in a third of the time that numpy takes to read them.

    TypeError, ValueError or IndexError when they are other numbers, none, or ragged: numpy has the say about those.
    """
    rows, shape = [values], []
    while True:
        (length,) = {*map(len, rows)}
        shape.append(length)
        if not isinstance(rows[0][0], list):
            break
        rows = [*chain.from_iterable(rows)]
    pixels = np.frombuffer(b"".join(map(bytes, rows)), dtype=np.uint8)
    if pixels.max() < 2:
        raise ValueError("true and false would look like these")
    return pixels.reshape(shape)


def array_of(values, field: str) -> np.ndarray:
    """Numbers from JSON as an array; BadRequest when they are ragged or not numbers."""
    if not isinstance(values, list):
        raise BadRequest(f"{field} must be a list of numbers.")
    try:
        return _from_bytes(values)
    except (TypeError, ValueError, IndexError):
        pass
    try:
        array = np.array(values)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise BadRequest(f"{field} is ragged or nested too deep: send images as {SHAPES}.") from None
    if array.size and array.dtype.kind not in "iuf":
        raise BadRequest(f"{field} holds something that is not a number: pixels are numbers from 0 to 255.")
    return array


def _tensor(tensor) -> np.ndarray:
    """A Seldon tensor ({"shape": [...], "values": [...]}) as an array."""
    if not isinstance(tensor, dict) or "shape" not in tensor or "values" not in tensor:
        raise BadRequest('data.tensor must hold "shape" and "values".')
    shape = tensor["shape"]
    if not isinstance(shape, list) or not all(type(size) is int and 0 <= size <= MOST_BYTES for size in shape):
        raise BadRequest(f"data.tensor.shape must be a list of whole numbers: send images as {SHAPES}.")
    values = array_of(tensor["values"], "data.tensor.values")
    if values.ndim != 1 or values.size != math.prod(shape):
        raise BadRequest("data.tensor.values must be one flat list, of as many numbers as data.tensor.shape says.")
    return values.reshape(shape)


def _bytes(text) -> np.ndarray:
    """binData, base64 of N x 784 bytes, as an array [N, 784]."""
    if not isinstance(text, (str, bytes)):
        raise BadRequest(f"binData must be base64 text of N x {PIXELS} bytes, one a pixel, row by row.")
    try:
        pixels = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest(f"binData is not base64: send N x {PIXELS} bytes in base64, row by row.") from None
    return rows(pixels)


def rows(pixels: bytes) -> np.ndarray:
    if len(pixels) % PIXELS:
        raise BadRequest(f"binData holds {len(pixels)} bytes, not a multiple of {PIXELS}: send one byte a pixel.")
    return np.frombuffer(pixels, dtype=np.uint8).reshape(-1, PIXELS)


def as_images(array: np.ndarray) -> np.ndarray:
    """Pixels in one of the accepted shapes as float32 [N, 1, 28, 28]; BadRequest when they are not images."""
    shape = array.shape
    if array.size == 0:
        raise BadRequest(f"There is no image in the request: send images as {SHAPES}.")
    if shape != (SIDE, SIDE) and shape[1:] not in ((SIDE, SIDE), (PIXELS,), (1, SIDE, SIDE)):
        seen = " x ".join(map(str, shape[:6])) + (" x ..." if len(shape) > 6 else "")
        raise BadRequest(f"Images have the shape {SHAPES}; these have {seen}.")
    if array.size > MOST_IMAGES * PIXELS:
        count = array.size // PIXELS
        raise BadRequest(f"At most {MOST_IMAGES} images in one request; these are {count}. Send several requests.")
    if array.dtype != np.uint8 and not (array.min() >= 0 and array.max() <= 255):  # false for NaN too
        raise BadRequest("Pixels are finite numbers from 0 (black) to 255 (white ink); these are not.")
    return array.reshape(-1, 1, SIDE, SIDE).astype(np.float32)


def read_json(body) -> dict:
    """A request's body, bytes or text, as a Seldon message."""
    if not body:
        raise BadRequest('The body is empty: send {"data": {"ndarray": [...]}} with Content-Type: application/json.')
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    if not isinstance(message, dict):
        raise BadRequest('The body must be a JSON object, such as {"data": {"ndarray": [...]}}.')
    return message


def read_images(message: dict) -> tuple:
    """The images of a Seldon message, float32 [N, 1, 28, 28], and the form to answer in ("ndarray" or "tensor")."""
    data, binary = message.get("data"), message.get("binData")
    if (data is None) == (binary is None):
        raise BadRequest('Send either "data", with "ndarray" or "tensor", or "binData".')
    if binary is not None:
        return as_images(_bytes(binary)), "ndarray"
    if not isinstance(data, dict):
        raise BadRequest('"data" must be an object with "ndarray" or "tensor".')
    values, tensor = data.get("ndarray"), data.get("tensor")
    if (values is None) == (tensor is None):
        raise BadRequest('"data" must hold either "ndarray" or "tensor".')
    if tensor is not None:
        return as_images(_tensor(tensor)), "tensor"
    return as_images(array_of(values, "data.ndarray")), "ndarray"


def read_meta(message: dict) -> dict:
    """What of a request's meta goes into the answer's: the request's id and tags, as the wrapper does."""
    meta = message.get("meta")
    if meta is None:
        return {}
    if not isinstance(meta, dict):
        raise BadRequest('"meta" must be an object, or left out.')
    puid, tags = meta.get("puid"), meta.get("tags")
    if not isinstance(puid, (str, type(None))) or not isinstance(tags, (dict, type(None))):
        raise BadRequest('"meta.puid" must be text and "meta.tags" an object, or left out.')
    return {key: value for key, value in (("puid", puid), ("tags", tags)) if value}
