"""`make upgrade`: python -m mlops.upgrade."""

import sys

from .upgrade import main

sys.exit(main(sys.argv[1:]))
