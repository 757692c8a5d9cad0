"""`make upgrade`: python -m mlops.upgrade."""

import sys
from contextlib import suppress
from pathlib import Path

from ..gitcommand import GitError
from .write import UNDO, interrupted, put_aside

if __name__ == "__main__":
    with suppress(GitError, FileNotFoundError):  # no repository, or no git: upgrade.py says so
        if interrupted(Path.cwd()):
            if "--check" in sys.argv:
                sys.exit(f"An upgrade was interrupted. Make it again: make upgrade\nOr undo what it wrote: {UNDO}")
            put_aside(Path.cwd())
            print("An upgrade was interrupted, and is made again now. What it had written is put aside, with what you")
            print("have edited since. If that is nothing: git stash drop")
    from .upgrade import main  # not before: half of the modules may have been new

    sys.exit(main(sys.argv[1:]))
