"""What the programs here take from the package: the Polyaxon project of its runs, and how a signal ends them."""

import sys
import tomllib
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "src"))
# The package's name is the team's; pyproject.toml has it, as the module of its command.
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
PACKAGE = next(iter(SCRIPTS.values())).partition(".")[0]
runs, sessions, signals = (import_module(f"{PACKAGE}.{name}") for name in ("runs", "sessions", "signals"))
NAME: str = runs.project()
OWNER: str = runs.OWNER
