"""Where a bundle's files are and how they are read. Standard library only."""

import hashlib
import json
from pathlib import Path

from ..errors import UserError

BUNDLE = Path("build/bundle")
MODEL, METADATA, RECORDED_ANSWERS = "model.onnx", "metadata.json", "recorded-answers.json"
REQUIREMENTS = "requirements.txt"
S2I_ENVIRONMENT = ".s2i/environment"
INPUT, OUTPUT = "inputs", "outputs"  # the names of the model's one input and one output


def served_bundle() -> Path:
    """Return the bundle that this copy of mlops is in."""
    return Path(__file__).resolve().parents[2]


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
    again = "Make the bundle again with `make package`."
    try:
        model, metadata, recorded = ((bundle / name).read_bytes() for name in (MODEL, METADATA, RECORDED_ANSWERS))
        found, answers = json.loads(metadata), json.loads(recorded)
        wanted = {"name", "schema", "run", "code", "data", "metrics", "model_digest", "training_inputs"}
        if missing := wanted - found.keys():
            raise ValueError(f"{METADATA} has no {sorted(missing)[0]}")
        if not all({"label", "inputs", "outputs"} <= answer.keys() for answer in answers):
            raise ValueError(f"{RECORDED_ANSWERS} holds something else")
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}. {again}") from None
    except (ValueError, AttributeError, TypeError) as error:
        raise UserError(f"{bundle} is damaged: {error}. {again}") from None
    if hashlib.sha256(model).hexdigest() != found["model_digest"]:
        raise UserError(f"{bundle / MODEL} is not the file that {METADATA} tells of: truncated, or changed. {again}")
    return model, found, answers


def environment_of(bundle: Path = BUNDLE) -> dict[str, str]:
    """Return the variables of `.s2i/environment`: NAME=value lines, # starts a comment line."""
    lines = (bundle / S2I_ENVIRONMENT).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
