"""Call git, apart from the settings and variables of the shell that would change its answers."""

import os
import subprocess
from pathlib import Path

# git sets these for its hooks: they would send our commands to another repository. The Makefile's PYTHONPATH is the
# source here, where a module may have the name of one of cookiecutter's.
_FOREIGN = (
    "PYTHONPATH",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_COMMON_DIR",
    "GIT_PREFIX",
)

# A person's own settings that would change what git answers, run their programs, or keep git out of our scratch
# repositories.
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


def environment(**more: str) -> dict[str, str]:
    """Return the environment for git, and for programs that call it."""
    kept = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    count = int(kept.get("GIT_CONFIG_COUNT") or 0)
    kept |= {"GIT_CONFIG_COUNT": str(count + len(_SETTINGS)), "GIT_OPTIONAL_LOCKS": "0"}
    for number, (key, value) in enumerate(_SETTINGS.items(), start=count):
        kept |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return kept | more


def git(
    folder: Path,
    *arguments: str,
    stdin: str | None = None,
    fine: tuple[int, ...] = (0,),
    variables: dict[str, str] | None = None,
) -> str:
    """Return what git prints in `folder`, with `variables` in its environment; exit codes not in `fine` fail."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",  # a file's name can be any bytes
            env=environment(**(variables or {})),
            check=False,
        )
    except FileNotFoundError as error:
        raise FileNotFoundError("This needs git; see https://git-scm.com/downloads") from error
    if done.returncode not in fine:
        raise GitError((done.stderr or done.stdout).strip() or f"git {arguments[0]} ended with {done.returncode}")
    return done.stdout


def listed(output: str) -> list[str]:
    """Return the items of a list that git ends with NUL (-z)."""
    return output.split("\0")[:-1]
