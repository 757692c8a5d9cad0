"""Inputs that are pictures of one size: what a request may hold, and what pictures look like in numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from typing import ClassVar

import numpy as np

from .errors import Refused

STATISTICS = {  # one number for each picture, and what it tells
    "mean": "mean value",
    "ink": "share of values in the upper half of the range",
    "roughness": "mean step between neighbors",
    "row": "center of brightness, rows down from the middle",
    "column": "center of brightness, columns right from the middle",
    "slant": "correlation of row and column in the brightness",
    "height": "log of the brightness's height over its width",
}


@dataclass(frozen=True)
class Images:
    """Pictures [height, width, channels] of values from `low` to `high`.

    Attributes:
        background, drawing: of drawings, the shade of their background, and the pixels of the longer side of what is
            drawn in their middle (see drawings.py).
    """

    height: int
    width: int
    channels: int = 1
    low: int = 0
    high: int = 255
    background: int | None = None
    drawing: int | None = None
    kind: ClassVar[str] = "images"
    unit: ClassVar[str] = "image"
    statistics: ClassVar[dict[str, str]] = STATISTICS

    def __post_init__(self) -> None:
        for name in ("height", "width", "channels"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it is a whole number above 0")
        if not self.low < self.high:
            raise ValueError(f"low is {self.low!r} and high {self.high!r}; low must be less than high")
        if self.background is not None and not (self.channels == 1 and self.low <= self.background <= self.high):
            raise ValueError("background is a value from low to high, and for pictures of one channel only")
        if self.drawing is not None and not (self.background is not None and 0 < self.drawing <= max(self.shape)):
            raise ValueError("drawing is a number of pixels of a side, and needs a background")

    def with_choices_of(self, known: "Images") -> "Images":
        """Return this schema with the range of `known`, and with its drawings: people may change these."""
        kept = ("low", "high", "background", "drawing")
        return replace(self, **{name: getattr(known, name) for name in kept})

    def encode(self, inputs: np.ndarray) -> np.ndarray:
        """Return pictures as they are stored: as they are."""
        return inputs

    def as_request(self, inputs: np.ndarray) -> list:
        """Return one example [*shape] as it is sent in JSON."""
        return inputs.ravel().tolist()

    def misfits(self, inputs: np.ndarray) -> list[str]:
        """Say how pictures [N, height, width, channels] differ from this schema; empty when they fit."""
        if inputs.shape[1:] != self.shape:
            sizes = [" x ".join(map(str, shape)) for shape in (inputs.shape[1:], self.shape)]
            return [f"inputs: pictures of {sizes[0]}, not of {sizes[1]}"]
        low, high = inputs.min(), inputs.max()
        if not (self.low <= low and high <= self.high):
            return [f"inputs: values from {low} to {high}, not from {self.low} to {self.high}"]
        return []

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example, as the model takes it."""
        return self.height, self.width, self.channels

    @property
    def size(self) -> int:
        return self.height * self.width * self.channels

    @property
    def accepts(self) -> str:
        """The shapes that a request may have, in words."""
        size, channels = f"{self.height} x {self.width}", self.channels
        if channels == 1:
            return f"N x {size}, N x {self.size}, N x 1 x {size}, N x {size} x 1 or one {size}"
        return f"N x {size} x {channels}, N x {self.size}, N x {channels} x {size} or one {size} x {channels}"

    def read_json(self, values: list, field: str, names: Sequence[str] | None = None) -> np.ndarray:
        """Return lists of numbers as float32 [N, *shape]. Refused where they are no pictures of this schema."""
        return self.read_array(_array_of(values, field, self.accepts))

    def read_bytes(self, content: bytes) -> np.ndarray:
        """Return one byte for each value, row by row, as float32 [N, *shape]."""
        if len(content) % self.size:
            raise Refused(f"binData holds {len(content)} bytes, not a multiple of {self.size}: send one byte a value.")
        return self.read_array(np.frombuffer(content, dtype=np.uint8).reshape(-1, self.size))

    def read_array(self, array: np.ndarray) -> np.ndarray:
        """Return pictures in one of the accepted shapes as float32 [N, *shape]."""
        if array.size == 0:
            raise Refused(f"There is no image in the request: send images as {self.accepts}.")
        pictures = self._arranged(array)
        if pictures is None:
            seen = " x ".join(map(str, array.shape[:6])) + (" x ..." if array.ndim > 6 else "")
            raise Refused(f"Images have the shape {self.accepts}; these have {seen}.")
        most = array.max()
        if not (array.min() >= self.low and most <= self.high):  # false for NaN too
            raise Refused(f"Pixels are finite numbers from {self.low} to {self.high}; these are not.")
        if self.low == 0 < most <= 1 < self.high:
            raise Refused(
                f"Pixels are numbers from 0 to {self.high}, and none of these is above 1: they are of another scale. "
                f"Do not divide them by {self.high}."
            )
        return pictures.astype(np.float32)

    def _arranged(self, array: np.ndarray) -> np.ndarray | None:
        """Return the same values as [N, *shape]; None when the shape is not one of the accepted."""
        flat, first = (self.size,), (self.channels, self.height, self.width)
        if array.ndim and array.shape[1:] in (self.shape, flat):
            return array.reshape(-1, *self.shape)
        if array.ndim and array.shape[1:] == first:
            return array.transpose(0, 2, 3, 1)
        if array.shape == self.shape:
            return array[None]
        without_channel = (self.height, self.width)
        if self.channels == 1 and (array.shape == without_channel or array.shape[1:] == without_channel):
            return array.reshape(-1, *self.shape)
        return None

    def describe(self, inputs: np.ndarray) -> np.ndarray:
        """Return the statistics of each picture [N, *shape]: float64 [N, len(STATISTICS)], in the order of STATISTICS.

        Brightness is the mean over the channels above `low`. A picture without any counts as centered and round.
        """
        bright = np.asarray(inputs, dtype=np.float32).reshape(-1, self.height * self.width, self.channels)
        bright = bright[:, :, 0] if self.channels == 1 else bright.mean(axis=2)
        bright = bright - self.low if self.low else bright
        total, row, column, rows, columns, both = (bright @ _moments(self.height, self.width)).T
        ink = np.maximum(total, 1.0)
        row, column = row / ink, column / ink
        tall = np.maximum(rows / ink - row * row, 0.01)
        wide = np.maximum(columns / ink - column * column, 0.01)
        found = np.empty((len(bright), len(STATISTICS)))
        found[:, 0] = total / bright.shape[1] + self.low
        found[:, 1] = np.count_nonzero(bright > (self.high - self.low) / 2, axis=1) / bright.shape[1]
        found[:, 2] = np.abs(bright[:, 1:] - bright[:, :-1]).mean(axis=1)
        found[:, 3], found[:, 4] = row, column
        found[:, 5] = (both / ink - row * column) / np.sqrt(tall * wide)
        found[:, 6] = 0.5 * np.log(tall / wide)
        return found


@lru_cache
def _moments(height: int, width: int) -> np.ndarray:
    """Return columns that turn a picture's brightness into its total, and first and second moments about the middle."""
    row, column = np.mgrid[0:height, 0:width].reshape(2, -1).astype(np.float32)
    row, column = row - (height - 1) / 2, column - (width - 1) / 2
    return np.stack([np.ones_like(row), row, column, row * row, column * column, row * column], axis=1)


def _array_of(values, field: str, accepts: str) -> np.ndarray:
    """Return numbers from JSON as an array."""
    if not isinstance(values, list):
        raise Refused(f"{field} must be a list of numbers.")
    try:
        return _from_bytes(values)
    except (TypeError, ValueError, IndexError):
        pass
    try:
        array = np.array(values)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise Refused(f"{field} is ragged or nested too deep: send images as {accepts}.") from None
    if array.size and array.dtype.kind not in "iuf":
        raise Refused(f"{field} holds something that is not a number.")
    return array


def _from_bytes(values: list) -> np.ndarray:
    """Return lists of whole numbers from 0 to 255 as uint8, in a third of the time that numpy takes to read them.

    TypeError, ValueError or IndexError when they are other numbers, none, or ragged: numpy decides about those.
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
