"""A run becomes a serving bundle: the model as ONNX, where it came from, what it answered, and the code that serves it.

The bundle is a source for s2i as it stands, and a folder that seldon-core-microservice serves.
"""

import hashlib
import json
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from . import drift, lineage, runs
from .bundle_files import BUNDLE, METADATA, MODEL, RECORDED_ANSWERS, REQUIREMENTS, S2I_ENVIRONMENT, read_metadata
from .data import CLASSES, DATA_FILE, SIDE, Dataset, Digits, load
from .errors import UserError
from .files import atomic_folder
from .network import Network, PixelsToProbabilities
from .training import Hyperparameters

SCHEMA = 1  # of metadata.json
# Of the repository, and the names they have in a bundle
COPIED = {Path("serving-requirements.txt"): REQUIREMENTS, Path("serving.env"): S2I_ENVIRONMENT}
# The modules that go along: serving.py and what it imports, and the router that runs from the same image
SERVED_MODULES = (
    "__init__.py",
    "serving.py",
    "messages.py",
    "serving_http.py",
    "serving_metrics.py",
    "serving_server.py",
    "bundle_files.py",
    "drift.py",
    "bandit.py",
)
TOLERANCE = 1e-5  # the largest difference in a probability between PyTorch and ONNX Runtime
METRICS = ("accuracy", "test_accuracy", "loss")


def package(run: runs.Run, output: Path = BUNDLE, data_file: Path = DATA_FILE) -> Path:
    """Make the bundle of a run at `output`, whole or not at all.

    Raises:
        UserError: the run has not succeeded, the data is not what it was trained on, or ONNX Runtime and PyTorch do
            not answer alike.
    """
    if run.status != "succeeded":
        raise UserError(f"Run {run.uuid} is {run.status}, and only a run that succeeded is packaged. See: make best")
    dataset = load(data_file)
    if dataset.origin["digest"] != run.inputs.get("data_digest"):
        raise UserError(
            f"{data_file} is not the data that run {run.uuid} was trained on. "
            "Make that again with `make data`, or train on this one."
        )
    missing = [str(path) for path in COPIED if not path.is_file()]
    if missing:
        raise UserError(f"{' and '.join(missing)} not found: run this in the repository's root.")
    model = _load_model(run)
    with atomic_folder(output) as draft:
        _export(model, draft / MODEL)
        session = onnxruntime.InferenceSession(draft / MODEL, providers=["CPUExecutionProvider"])
        check_parity(model, session, dataset.splits["validation"])
        _write_json(draft / METADATA, _metadata(run, dataset, draft / MODEL))
        _write_json(draft / RECORDED_ANSWERS, _recorded_answers(session, dataset.splits["test"]))
        _copy_code(draft)
    return output


def is_current(run: runs.Run, output: Path = BUNDLE) -> bool:
    """Whether `output` is this run's bundle with the code and requirements of now."""
    metadata = read_metadata(output)
    if metadata is None or metadata["run"]["uuid"] != run.uuid or metadata["package_digest"] != _package_digest():
        return False
    return (output / MODEL).is_file() and metadata["model_digest"] == _sha256(output / MODEL)


def check_parity(model: torch.nn.Module, session: onnxruntime.InferenceSession, digits: Digits) -> None:
    """Raise UserError unless both give every digit the same class, and each probability within TOLERANCE."""
    pixels = digits.images[:, None].astype(np.float32)
    with torch.inference_mode():
        ours = model(torch.from_numpy(pixels)).numpy()
    (theirs,) = session.run(None, {"image": pixels})
    classes, difference = int((ours.argmax(1) != theirs.argmax(1)).sum()), float(np.abs(ours - theirs).max())
    if classes or not difference <= TOLERANCE:
        raise UserError(
            f"The exported model does not answer like the trained one: {classes} of {len(digits)} validation digits "
            f"get another class, and a probability differs by {difference:.1e} (allowed: none, and {TOLERANCE:.0e}). "
            "No bundle was made."
        )


def _load_model(run: runs.Run) -> PixelsToProbabilities:
    network = Network()
    try:
        network.load_state_dict(torch.load(run.model, weights_only=True, map_location="cpu"))
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{run.model} is not a model of this code's network: {reason} Choose another run: make best"
        ) from None
    return PixelsToProbabilities(network).eval()


def _export(model: torch.nn.Module, path: Path) -> None:
    example = torch.zeros(2, 1, SIDE, SIDE)  # two, because a batch of one would be taken for a constant
    torch.onnx.export(
        model, (example,), path, input_names=["image"], output_names=["proba"],
        dynamic_shapes={"image": {0: torch.export.Dim("batch")}}, dynamo=True, external_data=False, verbose=False,
    )  # fmt: skip


def _metadata(run: runs.Run, dataset: Dataset, model: Path) -> dict:
    origin = dataset.origin
    return {
        "schema": SCHEMA,
        "run": {"uuid": run.uuid, "name": run.name, "created_at": run.created_at},
        "code": {
            "commit": run.inputs.get("commit"),
            "dirty": run.inputs.get("dirty"),
            "digest": run.inputs["code_digest"],
        },
        "data": {
            "source": origin["source"],
            "digest": origin["digest"],
            "seed": origin["seed"],
            "counts": {name: len(digits) for name, digits in dataset.splits.items()},
        },
        "hyperparameters": {item.name: run.inputs[item.name] for item in fields(Hyperparameters)},
        "metrics": {name: run.outputs[name] for name in METRICS},
        "libraries": lineage.libraries(),
        "classes": CLASSES,
        "model_digest": _sha256(model),
        "package_digest": _package_digest(),
        "training_inputs": drift.describe(dataset.splits["train"].images),
    }


def _recorded_answers(session: onnxruntime.InferenceSession, digits: Digits) -> list[dict]:
    """The first test digit of each class and what the exported model says of it."""
    rows = [int(np.flatnonzero(digits.labels == label)[0]) for label in range(len(CLASSES))]
    (probabilities,) = session.run(None, {"image": digits.images[rows][:, None].astype(np.float32)})
    return [
        {"label": label, "pixels": digits.images[row].ravel().tolist(), "probabilities": answer.tolist()}
        for label, (row, answer) in enumerate(zip(rows, probabilities, strict=True))
    ]


def _copy_code(draft: Path) -> None:
    package_folder = draft / __package__
    package_folder.mkdir()
    for name in SERVED_MODULES:
        shutil.copyfile(Path(__file__).parent / name, package_folder / name)
    for source, name in COPIED.items():
        (draft / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(source, draft / name)


def _package_digest() -> str:
    """SHA-256 (hex) of what a bundle holds beside the run's own model and data."""
    sha = hashlib.sha256()
    here = Path(__file__).parent
    for path in (*(here / name for name in (*SERVED_MODULES, "bundle.py")), *COPIED):
        sha.update(path.read_bytes())
    return sha.hexdigest()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_json(path: Path, content) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
