"""A bundle's files, and whether the bundle that is there is still made of them. Imports no PyTorch."""

import hashlib
from pathlib import Path

from . import runs
from .serving import bundle_files as files

HERE = Path(__file__).parent
# Of this package beside `serving`: the modules that serving imports
IMPORTED = ("__init__", "columns", "errors", "images", "processes", "schema", "tables")


def sources(package: Path) -> dict[str, Path]:
    """Return the files of a bundle beside the run's own, by their names in it: of the team's package it has all."""
    ours = [*(HERE / f"{name}.py" for name in IMPORTED), *(HERE / "serving").rglob("*.py")]
    team = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {
        **{f"{package.name}/{path.relative_to(package)}": path for path in team},
        **{f"{HERE.name}/{path.relative_to(HERE)}": path for path in ours},
        files.REQUIREMENTS: Path("serving-requirements.txt"),
        files.S2I_ENVIRONMENT: Path("serving.env"),
    }


def is_current(package: Path, run: runs.Run, output: Path = files.BUNDLE) -> bool:
    """Return whether `output` is this run's bundle with the code and requirements of now."""
    metadata = files.read_metadata(output)
    if metadata is None or metadata["run"]["uuid"] != run.uuid or metadata["package_digest"] != package_digest(package):
        return False
    return (output / files.MODEL).is_file() and metadata["model_digest"] == sha256(output / files.MODEL)


def package_digest(package: Path) -> str:
    """Return the SHA-256 (hex) of `sources` and of the program that makes bundles."""
    sha = hashlib.sha256()
    for name, path in sorted(sources(package).items()):
        sha.update(name.encode() + path.read_bytes())
    sha.update((HERE / "bundle.py").read_bytes())
    return sha.hexdigest()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
