"""Pictures in files: read as the schema says, and drawn beside a model's answers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from .errors import UserError
from .images import Images

MODES = {1: ("L", "8-bit gray", "gray"), 3: ("RGB", "8-bit color", "sRGB")}  # of files, by their channels
CAPTION, SIDE = 28, 112  # pixels, on the sheet of answers


def read(path: Path, schema: Images) -> np.ndarray:
    """Return a PNG or JPEG as uint8 [height, width, channels]; nothing is resized, converted or inverted.

    Raises:
        UserError: the file is missing, no picture, or not one of the schema.
    """
    try:
        with Image.open(path) as image:
            size, mode, pixels = image.size, image.mode, np.asarray(image)
    except FileNotFoundError:
        raise UserError(f"There is no file {path}.") from None
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read as an image: {error}") from None
    if schema.channels not in MODES:
        raise UserError(f"The model takes {schema.channels} channels; picture files have 1 or 3. Ask with --index.")
    wanted, kind, space = MODES[schema.channels]
    if size != (schema.width, schema.height) or mode != wanted:
        raise UserError(
            f"{path} is {size[0]} by {size[1]} pixels of mode {mode}; the model takes {schema.width} by "
            f"{schema.height} of {kind} (mode {wanted}). Convert it: "
            f"convert {path} -resize {schema.width}x{schema.height}! -colorspace {space} -depth 8 picture.png"
        )
    return pixels.reshape(schema.shape)


def sheet(pictures: Sequence[np.ndarray], captions: Sequence[str]) -> Image.Image:
    """Draw pictures [height, width, channels] side by side, each with its caption below."""
    canvas = Image.new("RGB", (SIDE * len(pictures), SIDE + CAPTION), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=16)
    for column, (pixels, caption) in enumerate(zip(pictures, captions, strict=True)):
        picture = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).convert("RGB")
        canvas.paste(picture.resize((SIDE, SIDE), Image.Resampling.NEAREST), (column * SIDE, 0))
        draw.text((column * SIDE + SIDE / 2, SIDE + CAPTION / 2), caption, fill="black", font=font, anchor="mm")
    return canvas
