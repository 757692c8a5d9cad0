"""`make upgrade`: python -m mlops.upgrade."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from ..gitcommand import GitError
from .journal import UNDO, Journal

if __name__ == "__main__":
    with suppress(GitError, FileNotFoundError):  # no repository, or no git: upgrade.py says so
        journal = Journal(Path.cwd())
        if journal.interrupted():
            if "--check" in sys.argv:
                sys.exit(f"An upgrade was interrupted. Make it again: make upgrade\nOr undo what it wrote: {UNDO}")
            journal.put_aside()
            print("An upgrade was interrupted, and is made again now. What it had written is put aside, with what you")
            print("have edited since. If that is nothing: git stash drop")
    # A module of the repository may have the name of one of cookiecutter's: its folders leave the path.
    folders = (Path.cwd(), Path.cwd() / "src")
    sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() not in folders]
    os.environ.pop("PYTHONPATH", None)
    from .upgrade import main  # not before: half of the modules may have been new

    sys.exit(main(sys.argv[1:]))
