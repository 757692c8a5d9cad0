"""Run git without the variables and settings of a person that would change what it answers."""

import os
import subprocess
from pathlib import Path

# git sets these for its hooks; they would send our commands to another repository. PYTHONPATH is this repository's
# source, where a module may have the name of one that a program started by git imports.
_FOREIGN = (
    "PYTHONPATH",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_COMMON_DIR",
    "GIT_PREFIX",
)
# A person's own settings may change what git answers, run programs, or keep git out of a bare repository.
_SETTINGS = {
    "color.ui": "never",
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "init.templateDir": "",
    "safe.bareRepository": "all",
    "status.showUntrackedFiles": "normal",
}


class GitError(Exception):
    """git failed; the text is its message."""


def git(
    folder: Path,
    *arguments: str,
    stdin: str | None = None,
    fine: tuple[int, ...] = (0,),
    variables: dict[str, str] | None = None,
    remedy: str = "",
) -> str:
    """Return what git prints in `folder`, with `variables` in its environment.

    Raises GitError for an exit code that is not in `fine`: git's message, and the remedy below it.
    """
    settings = [part for key, value in _SETTINGS.items() for part in ("-c", f"{key}={value}")]
    kept = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    try:
        done = subprocess.run(
            ["git", *settings, *arguments],
            cwd=folder,
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",  # a file's name can be any bytes
            env=kept | {"GIT_OPTIONAL_LOCKS": "0"} | (variables or {}),
            check=False,
        )
    except FileNotFoundError as error:
        raise FileNotFoundError("This needs git; see https://git-scm.com/downloads") from error
    if done.returncode not in fine:
        message = (done.stderr or done.stdout).strip() or f"git {arguments[0]} ended with {done.returncode}"
        raise GitError(f"{message}\n{remedy}".strip())
    return done.stdout


def listed(output: str) -> list[str]:
    """Return the items of a list that git ends with NUL (-z)."""
    return output.split("\0")[:-1]


def git_path(folder: Path, name: str) -> Path:
    """Return the path of a file of git's own, as "index" or "MERGE_HEAD"."""
    return folder / git(folder, "rev-parse", "--git-path", name).rstrip("\n")
