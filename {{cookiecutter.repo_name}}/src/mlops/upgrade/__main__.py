"""`make upgrade`: undo an upgrade that was interrupted, and start.

This imports gitcommand alone at first, because after an interruption the other modules may be half new.
"""

import sys
from contextlib import suppress
from pathlib import Path

from ..gitcommand import GitError, git, git_path
from . import RECORD, UNDO


def recover(team: Path, check: bool) -> None:
    """Undo an interrupted upgrade, and keep in a stash what it wrote and what was edited since."""
    if not git(team, "diff", "--cached", "--diff-filter=D", "--name-only", "--", RECORD):
        return
    if check:
        sys.exit(f"An upgrade was interrupted. Make it again: make upgrade\nOr undo what it wrote: {UNDO}")
    git_path(team, "index.lock").unlink(missing_ok=True)  # of a git that was killed with us
    git(team, "add", "--all", "--", ".", f":!{RECORD}")
    written = git(team, "stash", "create").strip()
    git(team, "stash", "store", "--message", "what an interrupted upgrade wrote", written)
    git(team, "restore", "--source=HEAD", "--staged", "--worktree", ".")
    print("An upgrade was interrupted, and starts again now. What it wrote, and what you have edited since, is in a")
    print("stash. If you edited nothing: git stash drop", flush=True)


if __name__ == "__main__":
    with suppress(GitError, FileNotFoundError):  # no repository, or no git: upgrade.py says so
        recover(Path.cwd(), check="--check" in sys.argv)
    from .upgrade import main

    sys.exit(main(sys.argv[1:]))
