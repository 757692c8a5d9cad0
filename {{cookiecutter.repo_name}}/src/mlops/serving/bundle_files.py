"""Where a bundle's files are and how they are read; needs neither torch nor the serving environment."""

import json
from pathlib import Path

BUNDLE = Path("build/bundle")
MODEL, METADATA, RECORDED_ANSWERS = "model.onnx", "metadata.json", "recorded-answers.json"
REQUIREMENTS = "requirements.txt"
S2I_ENVIRONMENT = ".s2i/environment"
INPUT, OUTPUT = "inputs", "outputs"  # the names of the model's one input and one output
HOST_VARIABLE = "MLOPS_HOST"  # the address that a server listens at; all of the machine's, as in a pod, without it
ADDRESS_VARIABLE = "MLOPS_ADDRESS_FILE"  # where a server writes its addresses once it answers


def served_bundle() -> Path:
    """Return the bundle that this copy of mlops is in."""
    return Path(__file__).resolve().parents[2]


def read_metadata(bundle: Path = BUNDLE) -> dict | None:
    """Return a bundle's metadata; None where there is none that can be read."""
    try:
        return json.loads((bundle / METADATA).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def environment_of(bundle: Path = BUNDLE) -> dict[str, str]:
    """Return the variables of `.s2i/environment`: NAME=value lines, # starts a comment line."""
    lines = (bundle / S2I_ENVIRONMENT).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
