"""Read pictures in files into the size and mode of a schema, to learn from or to ask about; draw them with answers."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from . import drawings
from .errors import UserError
from .images import Images

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
GRAY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "F")
MOST_PIXELS = 100_000_000  # of a picture that is read: 300 MB in memory
CAPTION, SIDE = 28, 112  # pixels, on the sheet of answers


def read(path: Path, use: Callable[[Image.Image], Any]) -> Any:
    """Open a picture and return what `use` makes of it; every error of an image library becomes a UserError."""
    if not path.is_file():
        raise UserError(f"There is no file {path}.")
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"it has {image.width} x {image.height} pixels, and at most {MOST_PIXELS:,} are read")
            return use(image)
    except UserError:
        raise
    except Exception as error:  # a reader raises whatever its format's library does
        reason = " ".join(str(error).replace(repr(str(path)), "it").split())[:200].rstrip(".") or type(error).__name__
        raise UserError(f"{path} cannot be read as a picture: {reason}. Put a good one in its place.") from None


def find(folder: Path) -> list[Path]:
    """Return the pictures in a folder and in its folders, by their names. UserError where there is none."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise UserError(f"{folder} holds no pictures ({', '.join(SUFFIXES)}).")
    return found


def load(path: Path, schema: Images) -> np.ndarray:
    """Return a picture to learn from [height, width, channels]: upright, on white, its sides' ratio kept."""
    return _as_array(_sized(read(path, lambda image: _plain(image, schema, [])), schema, []), schema)


def ask(path: Path, schema: Images) -> tuple[np.ndarray, str]:
    """Return a picture to ask about [height, width, channels], and in words what was done to it.

    It is made ready as `load` does; where the training's are drawings, it is first made a drawing like these.
    """
    done: list[str] = []
    image = read(path, lambda image: _plain(image, schema, done))
    if schema.background is not None:
        image = drawings.arrange(image, schema, done)
    return _as_array(_sized(image, schema, done), schema), ", ".join(done) or "taken as it is"


def _plain(image: Image.Image, schema: Images, done: list[str]) -> Image.Image:
    """Return a picture as people see it, as 8-bit gray or color: upright, and white where it is transparent."""
    if schema.channels not in (1, 3):
        raise UserError(f"The model takes {schema.channels} channels, and pictures in files have 1 or 3.")
    if (frames := getattr(image, "n_frames", 1)) > 1:
        done.append(f"the first of {frames} frames")
    if image.getexif().get(0x0112, 1) != 1:
        image = ImageOps.exif_transpose(image)
        done.append("turned upright")
    if image.mode.startswith(("I", "F")):
        image = _as_bytes(image)
        done.append("made 8-bit")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        done.append("put on white")
    if (image.mode in GRAY_MODES) != (schema.channels == 1):
        done.append("made gray" if schema.channels == 1 else "made color")
    return image.convert("L" if schema.channels == 1 else "RGB")


def _as_bytes(image: Image.Image) -> Image.Image:
    """Return a picture of 16-bit, 32-bit or real values from 0 to 255: its range is the smallest usual one."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0, neginf=0)
    most = float(values.max())
    high = next((high for high in ((1,) if image.mode == "F" else ()) + (255, 65535) if most <= high), most)
    return Image.fromarray((values / high * 255).clip(0, 255).astype(np.uint8))


def _sized(image: Image.Image, schema: Images, done: list[str]) -> Image.Image:
    """Return a picture in the size of the schema: its sides' ratio is kept, and its commonest shade put around it."""
    if image.size == (schema.width, schema.height):
        return image
    done.append(f"made {schema.height} by {schema.width} pixels")
    shades = np.median(np.asarray(image).reshape(-1, schema.channels), axis=0).astype(int).tolist()
    color: Any = tuple(shades) if schema.channels > 1 else shades[0]
    return ImageOps.pad(image, (schema.width, schema.height), Image.Resampling.BILINEAR, color=color)


def _as_array(image: Image.Image, schema: Images) -> np.ndarray:
    """Return pixels [height, width, channels]: uint8, or float32 where the schema's range is another."""
    pixels = np.asarray(image, dtype=np.uint8).reshape(schema.shape)
    if (schema.low, schema.high) == (0, 255):
        return pixels
    return (schema.low + pixels / 255 * (schema.high - schema.low)).astype(np.float32)


def sheet(pictures: Sequence[np.ndarray], captions: Sequence[str]) -> Image.Image:
    """Draw pictures [height, width, channels] side by side, each with its caption below."""
    canvas = Image.new("RGB", (SIDE * len(pictures), SIDE + CAPTION), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=16)
    for column, (pixels, caption) in enumerate(zip(pictures, captions, strict=True)):
        picture = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).convert("RGB")
        canvas.paste(picture.resize((SIDE, SIDE), Image.Resampling.NEAREST), (column * SIDE, 0))
        draw.text((column * SIDE + SIDE / 2, SIDE + CAPTION / 2), caption, fill="black", font=font, anchor="mm")
    return canvas
