"""The Polyaxon project of this repository, for the programs here: what `runs` of the package records runs under."""

import sys
import tomllib
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "src"))
# The package's name is the team's; pyproject.toml has it, as the module of its command.
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
runs = import_module(f"{next(iter(SCRIPTS.values())).partition('.')[0]}.runs")
NAME: str = runs.project()
OWNER: str = runs.OWNER
