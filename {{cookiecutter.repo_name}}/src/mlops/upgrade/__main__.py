"""`make upgrade`: python -m mlops.upgrade."""

import sys
from contextlib import suppress
from pathlib import Path

from ..gitcommand import GitError
from .journal import UNDO, Journal


def resume() -> None:
    """Take back what an upgrade wrote that was killed, so that it is made again."""
    journal = Journal(Path.cwd())
    if not journal.interrupted():
        return
    if "--check" in sys.argv:
        sys.exit(f"An upgrade was interrupted. Make it again: make upgrade\nOr undo what it wrote: {UNDO}")
    journal.put_aside()
    print("An upgrade was interrupted, and is made again now. What it had written is put aside, with all that you have")
    print("edited since. If that is nothing: git stash drop")


if __name__ == "__main__":
    with suppress(GitError, FileNotFoundError):  # no repository, or no git: upgrade.py says so
        resume()
    from .upgrade import main  # not before: half of these modules may have been new

    sys.exit(main(sys.argv[1:]))
