"""Where a bundle's files are and how they are read; needs neither torch nor the serving environment."""

import json
import os
from pathlib import Path

BUNDLE = Path("build/bundle")
MODEL, METADATA, RECORDED_ANSWERS = "model.onnx", "metadata.json", "recorded-answers.json"
REQUIREMENTS = "requirements.txt"
S2I_ENVIRONMENT = ".s2i/environment"
HOST_VARIABLE = "SERVER_HOST"  # the address that a server listens at; all of the machine's, as in a pod, without it


def served_bundle() -> Path:
    """The bundle that this copy of the package serves: MODEL_DIR, or the folder that holds the package."""
    return Path(os.environ.get("MODEL_DIR") or Path(__file__).resolve().parent.parent)


def read_metadata(bundle: Path = BUNDLE) -> dict | None:
    """A bundle's metadata; None where there is none that can be read."""
    try:
        return json.loads((bundle / METADATA).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def environment_of(bundle: Path = BUNDLE) -> dict[str, str]:
    """The variables of `.s2i/environment`: NAME=value lines, # starts a comment line."""
    lines = (bundle / S2I_ENVIRONMENT).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
