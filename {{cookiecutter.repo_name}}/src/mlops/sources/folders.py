"""Read a folder of pictures for each class, as torchvision's ImageFolder does: any size, format and mode."""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from .. import pictures
from ..errors import UserError
from ..pictures import SUFFIXES, load
from ..schema import Images, Schema
from . import Source

TRAIN, TEST = ("train", "training"), ("test", "val", "valid", "validation")
LARGEST, USUAL = 96, 64  # pixels of a side: the largest that is kept, and what larger pictures become


def is_one(folder: Path) -> bool:
    """Return whether a folder holds folders of pictures."""
    return any(_pictures(inner) for each in _folders(folder) for inner in (each, *_folders(each)))


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
    files, test_files = _classes(train or folder), _classes(test) if test else []
    if not files:
        kinds = ", ".join(SUFFIXES)
        raise UserError(f"{folder} holds no folders with pictures ({kinds}). Make one folder for each class.")
    kept = known.inputs if known else None
    schema = kept if isinstance(kept, Images) else _chosen([path for path, _ in files])
    color = "gray" if schema.channels == 1 else "color"
    notes = [f"{len(files) + len(test_files):,} pictures as {schema.height} by {schema.width} pixels, {color}"]
    inputs, labels = _read(files, schema)
    test_inputs, test_labels = _read(test_files, schema) if test_files else (None, None)
    return Source(str(folder), inputs, labels, test_inputs, test_labels, notes=notes)


def fingerprint(folder: Path) -> str:
    """Return the SHA-256 (hex) of names, sizes and times: of the pictures in a folder, or else of all its files."""
    sha, files = hashlib.sha256(), [path for path in folder.rglob("*") if path.is_file()]
    for path in sorted([path for path in files if path.suffix.lower() in SUFFIXES] or files):
        about = path.stat()
        sha.update(f"{path.relative_to(folder)} {about.st_size} {about.st_mtime_ns}\n".encode())
    return sha.hexdigest()


def _read(files: list[tuple[Path, str]], schema: Images) -> tuple[np.ndarray, np.ndarray]:
    return np.stack([load(path, schema) for path, _ in files]), np.array([name for _, name in files])


def _chosen(files: list[Path]) -> Images:
    sizes, gray = set(), True
    for path in files:
        size, mode = pictures.read(path, _size_and_mode)
        sizes.add(size)
        gray = gray and mode in pictures.GRAY_MODES
    width, height = sizes.pop() if len(sizes) == 1 else (LARGEST + 1,) * 2
    if max(width, height) > LARGEST:
        width = height = USUAL
    return Images(height, width, 1 if gray else 3)


def _size_and_mode(image: Image.Image) -> tuple[tuple[int, int], str]:
    turned = image.getexif().get(0x0112, 1) >= 5
    return image.size[::-1] if turned else image.size, image.mode


def _classes(folder: Path) -> list[tuple[Path, str]]:
    return [(path, inner.name) for inner in _folders(folder) for path in _pictures(inner)]


def _folders(folder: Path) -> list[Path]:
    return sorted(inner for inner in folder.iterdir() if inner.is_dir() and not inner.name.startswith((".", "__")))


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
