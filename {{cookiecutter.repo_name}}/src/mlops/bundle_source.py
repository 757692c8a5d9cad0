"""What a bundle is made of, and whether the one that is there still is of it. Imports no PyTorch."""

import hashlib
from pathlib import Path

from . import runs
from .serving import bundle_files as files

# Of the repository, and the names they have in a bundle
COPIED = {Path("serving-requirements.txt"): files.REQUIREMENTS, Path("serving.env"): files.S2I_ENVIRONMENT}
# Of this package: what serves, and what that imports
SERVED = ("__init__.py", "columns.py", "errors.py", "images.py", "processes.py", "schema.py", "serving", "tables.py")


def is_current(package: Path, run: runs.Run, output: Path = files.BUNDLE) -> bool:
    """Return whether `output` is this run's bundle with the code and requirements of now."""
    metadata = files.read_metadata(output)
    if metadata is None or metadata["run"]["uuid"] != run.uuid or metadata["package_digest"] != package_digest(package):
        return False
    return (output / files.MODEL).is_file() and metadata["model_digest"] == sha256(output / files.MODEL)


def package_digest(package: Path) -> str:
    """Return the SHA-256 (hex) of what a bundle holds beside the run's own model and data."""
    here = Path(__file__).parent
    ours = [
        path for name in SERVED for path in ((here / name).rglob("*.py") if (here / name).is_dir() else [here / name])
    ]
    sha = hashlib.sha256()
    for path in (*sorted(package.rglob("*.py")), *sorted(ours), here / "bundle.py", *COPIED):
        sha.update(path.name.encode() + path.read_bytes())
    return sha.hexdigest()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
