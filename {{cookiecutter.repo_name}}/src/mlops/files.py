"""Writing whole files or nothing, and alone."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import UserError


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to; it takes the place of `path` when the block ends well, else it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, because a rename is atomic only within one file system; the same name, because writers
    # look at the suffix.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        draft = Path(folder) / path.name
        yield draft
        draft.replace(path)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; it takes the place of the folder `path` when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as work:
        draft = Path(work) / path.name
        draft.mkdir()
        yield draft
        if path.exists():
            path.rename(Path(work) / "replaced")
        try:
            draft.rename(path)
        except OSError:
            if (Path(work) / "replaced").exists():
                shutil.move(Path(work) / "replaced", path)
            raise


@contextmanager
def exclusive_lock(folder: Path, busy: str) -> Iterator[None]:
    """Lock a folder while the block writes into it, or raise a UserError with the text `busy`.

    The system releases it also when the process is killed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise UserError(busy) from None
    except OSError:  # a file system that locks no folder, such as NFS
        pass
    try:
        yield
    finally:
        os.close(handle)
