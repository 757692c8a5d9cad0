"""Names of a bundle's files, and how they are read. Standard library only."""

import hashlib
import json
from pathlib import Path

from ..errors import UserError

BUNDLE = Path("build/bundle")
MODEL, METADATA, RECORDED_ANSWERS = "model.onnx", "metadata.json", "recorded-answers.json"
REQUIREMENTS = "requirements.txt"
S2I_ENVIRONMENT = ".s2i/environment"
INPUT, OUTPUT = "inputs", "outputs"  # the names of the model's one input and one output
REMEDY = "Make the bundle again with `make package`."


def read_metadata(bundle: Path = BUNDLE) -> dict | None:
    """Return a bundle's metadata; None where there is none that can be read."""
    try:
        return json.loads((bundle / METADATA).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def read_bundle(bundle: Path) -> tuple[bytes, dict, list[dict]]:
    """Return the model, its metadata and its recorded answers.

    Raises:
        UserError: one is missing or damaged, or the model is not the one that the others are about.
    """
    try:
        model, metadata, recorded = ((bundle / name).read_bytes() for name in (MODEL, METADATA, RECORDED_ANSWERS))
        found, answers = json.loads(metadata), json.loads(recorded)
        digest = found["model_digest"]
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}. {REMEDY}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{bundle / METADATA} or {RECORDED_ANSWERS} is damaged: {error!r}. {REMEDY}") from None
    if hashlib.sha256(model).hexdigest() != digest:
        raise UserError(f"{bundle / MODEL} is not the file that {METADATA} tells of: truncated, or changed. {REMEDY}")
    return model, found, answers


def environment_of(bundle: Path = BUNDLE) -> dict[str, str]:
    """Return the variables of `.s2i/environment`: NAME=value lines, # starts a comment line."""
    lines = (bundle / S2I_ENVIRONMENT).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
