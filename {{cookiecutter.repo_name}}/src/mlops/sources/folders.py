"""A folder of pictures for each class (the convention of torchvision's ImageFolder), of any size, format and mode."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from .. import pictures
from ..dataset import Source
from ..errors import UserError
from ..pictures import SUFFIXES, load
from ..schema import Images, Schema

TRAIN, TEST = ("train", "training"), ("test", "val", "valid", "validation")
LARGEST, USUAL = 96, 64  # pixels of a side: the largest that is kept, and what larger pictures become


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


def _classes(folder: Path) -> Iterator[tuple[Path, str]]:
    for inner in _folders(folder):
        yield from ((path, inner.name) for path in _pictures(inner))


def _folders(folder: Path) -> list[Path]:
    return sorted(inner for inner in folder.iterdir() if inner.is_dir() and not inner.name.startswith((".", "__")))


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
