"""`make upgrade`: python -m mlops.upgrade."""

import sys
from contextlib import suppress
from pathlib import Path

from ..gitcommand import GitError
from .write import recover

if __name__ == "__main__":
    with suppress(GitError, FileNotFoundError):  # no repository, or no git: upgrade.py says so
        recover(Path.cwd(), check="--check" in sys.argv)
    from .upgrade import main  # not before: half of the modules may have been new

    sys.exit(main(sys.argv[1:]))
