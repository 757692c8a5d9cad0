"""Make a picture to ask about like the drawings of the training: gray, ink on a plain background.

The schema says what these are like: `background` is the shade of most of their pixels, and `drawing` the longer side of
what is drawn, where that is the same in all and its center is in the middle, as MNIST's are. Photographs have neither.
"""

from dataclasses import replace

import numpy as np
from PIL import Image, ImageOps

from .images import Images

LOOKED_AT = 1000  # training pictures
NEARLY_ALL = 0.95  # of them
SAME = 25.0  # of 255: shades that differ by less are one
FAINT = 20.0  # of 255: what stands out less is no ink
NOISE = 0.2  # of the strongest ink: what is weaker is the paper's
WORKING_SIDE = 512  # pixels to which a drawing is reduced before it is looked at
FRAME = 0.8  # of a line that is ink, in the outer tenth of each of the four sides: a frame


def infer(inputs: np.ndarray) -> Images:
    """Return the schema of uint8 pictures [N, height, width, channels]; of drawings, with what these are like."""
    schema = Images(*map(int, inputs.shape[1:]))
    if schema.channels != 1:
        return schema
    few = inputs[:: max(1, len(inputs) // LOOKED_AT), ..., 0].astype(np.float32)
    shade = float(np.median(few))
    distance = np.abs(few - shade)
    if ((distance <= SAME).mean(axis=(1, 2)) > 0.5).mean() < NEARLY_ALL or distance.max() < FAINT:
        return schema
    schema = replace(schema, background=round(shade))
    places = np.array([place for ink in distance if (place := _place(ink))])
    sides, middle = places[:, 0], np.array([schema.height, schema.width]) / 2
    centered = np.abs(places[:, 1:] - middle).max(axis=1) <= 1
    if np.ptp(np.percentile(sides, [5, 95])) <= 1 and centered.mean() >= NEARLY_ALL:
        schema = replace(schema, drawing=round(float(np.median(sides))))
    return schema


def arrange(image: Image.Image, schema: Images, done: list[str]) -> Image.Image:
    """Return a gray picture made like the drawings of the training; what was done is added to `done`."""
    assert schema.background is not None
    background = (schema.background - schema.low) / (schema.high - schema.low) * 255
    small = image.copy()
    small.thumbnail((WORKING_SIDE, WORKING_SIDE))
    values = np.asarray(small, dtype=np.float32)
    away = values - np.median(values)
    inverted = bool(away.mean() < 0) != (background > 127)  # ink is what few pixels are
    inside = _inside_frame(np.abs(away) > np.abs(away).max() / 2)
    ink = np.abs(away.clip(None, 0) if away.mean() < 0 else away.clip(0))[inside]
    peak = float(np.percentile(ink, 99.9))
    if peak < FAINT:
        done.append("WARNING: nothing stands out in it")
        return image
    framed = ink.shape != values.shape
    turned = 255 - values if inverted else values
    like_theirs = abs(np.median(turned) - background) <= SAME and _is_placed(ink, schema)
    if image.size == (schema.width, schema.height) and like_theirs and not framed:
        done += ["inverted"] * inverted
        return ImageOps.invert(image) if inverted else image
    done += ["its frame cut off"] * framed + ["inverted"] * inverted
    ink = ((ink / peak - NOISE) / (1 - NOISE)).clip(0, 1)
    if schema.drawing:
        ink = _placed(ink, schema)
        done.append(f"its drawing made {schema.drawing} pixels and centered")
    far = 0 if background > 127 else 255
    return Image.fromarray((background + ink * (far - background)).round().astype(np.uint8))


def _place(ink: np.ndarray) -> tuple[float, float, float] | None:
    """Return the longer side of what stands out, and the row and column of the ink's center; None without ink."""
    box = _box(ink > SAME)
    return (max(box[2] - box[0], box[3] - box[1]), *_center(ink)) if box else None


def _is_placed(ink: np.ndarray, schema: Images) -> bool:
    """Return whether a drawing of the schema's size has its place already."""
    if not schema.drawing or not (place := _place(ink)):
        return True
    return np.abs(np.subtract(place, (schema.drawing, schema.height / 2, schema.width / 2))).max() <= 1


def _placed(ink: np.ndarray, schema: Images) -> np.ndarray:
    """Return ink [height, width] from 0 to 1 cut out, in the size that drawings have, its center in the middle."""
    assert schema.drawing
    cut = Image.fromarray(ink).crop(_box(ink > 0.5))
    factor = schema.drawing / max(cut.size)
    size = max(1, round(cut.width * factor)), max(1, round(cut.height * factor))
    drawn = np.asarray(cut.resize(size, Image.Resampling.BILINEAR)).clip(0, 1)
    drawn = drawn / max(float(drawn.max()), 1e-6)  # thin lines became faint
    canvas = np.zeros((schema.height, schema.width), np.float32)
    first = np.round(np.array(canvas.shape) / 2 - _center(drawn)).astype(int)
    top, left = first.clip(0, np.subtract(canvas.shape, drawn.shape))
    canvas[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    return canvas


def _inside_frame(ink: np.ndarray) -> tuple[slice, slice]:
    """Return the rows and columns inside of a frame; all of them where there is none."""
    cuts = []
    for axis in (1, 0):
        lines = np.flatnonzero(ink.mean(axis=axis) >= FRAME)
        length = ink.shape[1 - axis]
        first, last = lines[lines < length * 0.1], lines[lines >= length * 0.9]
        if not (len(first) and len(last)):
            return slice(None), slice(None)
        cuts.append(slice(int(first[-1]) + 1, int(last[0])))
    return cuts[0], cuts[1]


def _box(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """Return the left, upper, right and lower edge of what is true; None where nothing is."""
    return Image.fromarray(mask).getbbox()


def _center(ink: np.ndarray) -> np.ndarray:
    """Return the row and the column of the center of ink [height, width]."""
    return np.tensordot(np.indices(ink.shape), ink, 2) / ink.sum()
