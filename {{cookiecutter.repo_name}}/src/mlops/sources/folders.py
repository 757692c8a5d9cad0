"""A folder of pictures for each class (the convention of torchvision's ImageFolder), of any size, format and mode."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ..dataset import Source
from ..errors import UserError
from ..schema import Images, Schema

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
TRAIN, TEST = ("train", "training"), ("test", "val", "valid", "validation")
LARGEST, USUAL = 96, 64  # pixels of a side: the largest that is kept, and what larger pictures become
GRAY_MODES = ("1", "L", "LA", "I", "I;16", "F")


def is_one(folder: Path) -> bool:
    """Return whether a folder holds folders of pictures."""
    return any(_pictures(inner) for inner in _folders(folder)) or any(
        any(_pictures(deeper) for deeper in _folders(inner)) for inner in _folders(folder)
    )


def read(folder: Path, known: Schema | None = None) -> Source:
    """Read the pictures [N, height, width, channels] of every class, in the size and channels of `known`.

    Without, these are chosen: the pictures' own size where it is one for all and at most LARGEST, else USUAL by USUAL;
    gray where every picture is.

    Raises:
        UserError: a picture cannot be read, or a class has none; the message names it.
    """
    parts = {inner.name.lower(): inner for inner in _folders(folder)}
    train = next((parts[name] for name in TRAIN if name in parts), None)
    test = next((parts[name] for name in TEST if name in parts), None) if train else None
    files = list(_classes(train or folder))
    test_files = list(_classes(test)) if test else []
    if not files:
        raise UserError(f"{folder} holds no folders with pictures ({', '.join(SUFFIXES)}): one folder for each class.")
    kept = known.inputs if known else None
    schema = kept if isinstance(kept, Images) else _chosen([path for path, _ in files])
    size = f"{schema.height} by {schema.width}"
    color = "gray" if schema.channels == 1 else "color"
    notes = [f"{len(files) + len(test_files):,} pictures as {size} pixels, {color}"]
    read_all = (np.stack([load(path, schema) for path, _ in part]) if part else None for part in (files, test_files))
    inputs, test_inputs = read_all
    labels, test_labels = (np.array([name for _, name in part]) if part else None for part in (files, test_files))
    return Source(str(folder), inputs, labels, test_inputs, test_labels, notes=notes)


def fingerprint(folder: Path) -> str:
    """Return the SHA-256 (hex) of the pictures' names, sizes and times: reading them all would take too long."""
    sha = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES):
        about = path.stat()
        sha.update(f"{path.relative_to(folder)} {about.st_size} {about.st_mtime_ns}\n".encode())
    return sha.hexdigest()


def load(path: Path, schema: Images) -> np.ndarray:
    """Return a picture as uint8 [height, width, channels]: upright, on white, its sides' ratio kept.

    Raises:
        UserError: it cannot be read as a picture.
    """
    if schema.channels not in (1, 3):
        raise UserError(f"The model takes {schema.channels} channels, and pictures in files have 1 or 3.")
    with _opened(path) as image:
        image = ImageOps.exif_transpose(image)
        image = to_mode(image, schema.channels)
        if image.size != (schema.width, schema.height):
            border: Any = image.resize((1, 1)).getpixel((0, 0))
            image = ImageOps.pad(image, (schema.width, schema.height), Image.Resampling.BILINEAR, color=border)
        return np.asarray(image, dtype=np.uint8).reshape(schema.shape)


def to_mode(image: Image.Image, channels: int) -> Image.Image:
    """Return a picture of any mode as 8-bit gray or color; what is transparent becomes white."""
    if image.mode in ("I;16", "I", "F"):
        values = np.asarray(image, dtype=np.float64)
        high = 65535 if values.max() > 255 else 255
        image = Image.fromarray((values / high * 255).clip(0, 255).astype(np.uint8))
    if "A" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")


def _opened(path: Path) -> Image.Image:
    try:
        image = Image.open(path)
        image.load()
        return image
    except Exception as error:  # Pillow's readers raise whatever their format's library does
        raise UserError(
            f"{path} cannot be read as a picture: {error}. Remove it, or put a good one in its place."
        ) from None


def _chosen(files: list[Path]) -> Images:
    sizes, gray = set(), True
    for path in files:
        try:
            with Image.open(path) as image:
                turned = image.getexif().get(0x0112, 1) >= 5
                sizes.add(image.size[::-1] if turned else image.size)
                gray = gray and image.mode in GRAY_MODES
        except Exception as error:
            raise UserError(f"{path} cannot be read as a picture: {error}.") from None
    width, height = sizes.pop() if len(sizes) == 1 else (LARGEST + 1,) * 2
    if max(width, height) > LARGEST:
        width = height = USUAL
    return Images(height, width, 1 if gray else 3)


def _classes(folder: Path) -> Iterator[tuple[Path, str]]:
    for inner in _folders(folder):
        yield from ((path, inner.name) for path in _pictures(inner))


def _folders(folder: Path) -> list[Path]:
    return sorted(inner for inner in folder.iterdir() if inner.is_dir() and not inner.name.startswith((".", "__")))


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
