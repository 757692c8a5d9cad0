"""The lineage of a run: the digest of the code that decides it, its commit, and the versions of the libraries."""

import ast
import functools
import hashlib
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from . import gitcommand

TRAINING_CODE = ("data.py", "model.py", "training.py")  # of the team's package: they decide what a model is
LIBRARIES = ("torch", "onnx", "onnxruntime", "numpy")


def of_now(package: Path, origin: dict[str, Any]) -> dict[str, str]:
    """Return the lineage of a run trained now: the digests by which runs compare, and where the data is from."""
    return {
        "data_digest": origin["digest"],
        "code_digest": code_digest(package),
        "data_source": origin["source"],
        "data_seed": origin["seed"],
    }


def code_digest(package: Path, names: tuple[str, ...] = TRAINING_CODE) -> str:
    """Return the SHA-256 (hex) of the syntax trees of the team's training code: comments and spaces change nothing."""
    return _syntax_digest(package / name for name in names)


@functools.cache
def mlops_digest() -> str:
    """Return the same of this package: a run of another version of it is still comparable, and it is said."""
    return _syntax_digest(sorted(Path(__file__).parent.rglob("*.py")))


def _syntax_digest(paths) -> str:
    sha = hashlib.sha256()
    for path in paths:
        sha.update(f"{path.name}\n{ast.dump(ast.parse(path.read_bytes()))}\n".encode())
    return sha.hexdigest()


def commit(folder: Path) -> tuple[str | None, bool | None]:
    """Return the commit that holds the code in `folder`, and whether files there differ from it.

    An image has no git: it carries its commit as MLOPS_COMMIT, and MLOPS_DIRTY=true where files differed from it. None
    and None where no commit holds the code; where git refuses to say, its reason is printed.
    """
    git = functools.partial(gitcommand.git, folder, variables={"LC_ALL": "C"})  # its words are looked at below
    try:
        if not git("ls-tree", "HEAD", "--", "src").strip():
            return None, None  # the commit is of a repository around this one, which does not hold this code
        return git("rev-parse", "HEAD").strip(), bool(git("status", "--porcelain", "--", ".").strip())
    except OSError:  # no git on this machine
        pass
    except gitcommand.GitError as error:
        expected = ("not a git repository", "Not a valid object name HEAD", "unknown revision", "ambiguous argument")
        if not any(words in str(error) for words in expected):
            print(f"No commit is recorded, because git says:\n{error}", file=sys.stderr)
            return None, None
    of_image = os.environ.get("MLOPS_COMMIT") or None
    return of_image, os.environ.get("MLOPS_DIRTY") == "true" if of_image else None


def libraries() -> dict[str, str]:
    """Return the versions of the libraries that decide what a model computes."""
    return {name: version(name) for name in LIBRARIES}
