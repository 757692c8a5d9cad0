"""What a run came from: the code's commit and digest, and the versions of the libraries."""

import hashlib
import os
import subprocess
from importlib.metadata import version
from pathlib import Path

# The modules that decide what a trained model is
TRAINING_CODE = ("data.py", "distributed.py", "network.py", "training.py")
LIBRARIES = ("torch", "onnx", "onnxruntime", "numpy")


def code_digest() -> str:
    """SHA-256 (hex) over the modules that decide what a trained model is."""
    sha = hashlib.sha256()
    for name in TRAINING_CODE:
        sha.update((Path(__file__).parent / name).read_bytes())
    return sha.hexdigest()


def commit() -> tuple[str | None, bool | None]:
    """The commit of the code and whether files differ from it; None where it is not known.

    An image has no git: it carries its commit as GIT_COMMIT, and GIT_DIRTY=true where files differed from it.
    """
    if os.environ.get("GIT_COMMIT"):
        return os.environ["GIT_COMMIT"], os.environ.get("GIT_DIRTY") == "true"
    here = Path(__file__).parent
    try:
        head = _git("rev-parse", "HEAD", cwd=here)
        return head, bool(_git("status", "--porcelain", cwd=here))
    except (OSError, subprocess.CalledProcessError):
        return None, None


def libraries() -> dict[str, str]:
    return {name: version(name) for name in LIBRARIES}


def _git(*arguments: str, cwd: Path) -> str:
    return subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()
