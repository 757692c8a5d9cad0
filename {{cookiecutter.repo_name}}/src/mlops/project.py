"""The repository that this package is in, and what its pyproject.toml says."""

import os
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
POLYAXON = Path("aisg-context/polyaxon")  # Polyaxonfiles, presets and the chart's values
OWNER = "default"  # of the Polyaxon project, in the community edition


def settings(root: Path = ROOT) -> dict:
    """Return pyproject.toml as it is now."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


def name(root: Path = ROOT) -> str:
    """Return the repository's name, which is its Polyaxon project's too."""
    return settings(root)["project"]["name"]


def images(root: Path = ROOT) -> tuple[str, str]:
    """Return the prefix and the version that all images of the repository share."""
    content = settings(root)
    return content["tool"]["images"]["prefix"], content["project"]["version"]


def cluster(root: Path = ROOT) -> dict:
    """Return the Google Cloud project, the zone and the name of the cluster, and the secrets made there by hand."""
    return settings(root)["tool"]["cluster"]


def outputs() -> Path:
    """Return the folder of the runs: MLOPS_OUTPUTS, or `outputs` in the current folder, the repository's root."""
    return Path(os.environ.get("MLOPS_OUTPUTS") or "outputs").expanduser().absolute()
