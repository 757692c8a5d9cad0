"""A run becomes a serving bundle: the model as ONNX, where it came from, what it answered, and the code that serves it.

The bundle is a source for s2i as it stands, and a folder that `python -m mlops.serving` serves.
"""

import json
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from . import dataset as datasets
from . import lineage, project, runs
from .bundle_source import COPIED, SERVED, package_digest, sha256
from .dataset import Dataset, Examples
from .errors import UserError
from .files import atomic_folder
from .schema import Schema
from .serving import bundle_files as files
from .serving.model import ServedModel
from .team import Code

FORMAT = 2  # of metadata.json
TOLERANCE = 1e-5  # the largest difference in an answer between PyTorch and ONNX Runtime
SCORE_TOLERANCE = 0.01  # of a model that was trained on another device, whose answers differ a little
RECORDED = 10  # answers at least, one of each class


class Answers(nn.Module):
    """The network as it is served: a probability for each class, or the number."""

    def __init__(self, network: nn.Module, schema: Schema) -> None:
        super().__init__()
        self.network, self.classes = network, schema.outputs.kind == "classes"

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = self.network(inputs)
        return torch.softmax(outputs, dim=1) if self.classes else outputs


def package(code: Code, run: runs.Run, output: Path = files.BUNDLE, data_file: Path = datasets.FILE) -> dict:
    """Make the bundle of a run at `output`, whole or not at all; return its metadata.

    Raises:
        UserError: the run has not succeeded, the data is not what it was trained on, the model is not one of this
            code's network or does not reach the recorded score, or ONNX Runtime and PyTorch do not answer alike.
    """
    if run.status != "succeeded":
        raise UserError(f"Run {run.uuid} is {run.status}, and only a run that succeeded is packaged. See: make best")
    dataset = datasets.load(data_file)
    if dataset.origin["digest"] != run.inputs.get("data_digest"):
        raise UserError(
            f"{data_file} is not the data that run {run.uuid} was trained on. "
            "Make that again with `make data`, or train on this one."
        )
    missing = [str(path) for path in COPIED if not path.is_file()]
    if missing:
        raise UserError(f"{' and '.join(missing)} not found: run this in the repository's root.")
    model = _load_model(code, run, dataset.schema)
    with atomic_folder(output) as draft:
        _export(model, dataset.schema, draft / files.MODEL)
        session = onnxruntime.InferenceSession(draft / files.MODEL, providers=["CPUExecutionProvider"])
        check_parity(model, session, dataset.splits["validation"], dataset.schema.outputs.spread)
        metadata = _metadata(code, run, dataset, session, draft / files.MODEL)
        _check_score(run, metadata["metrics"][runs.SCORE])
        _write_json(draft / files.METADATA, metadata)
        _write_json(draft / files.RECORDED_ANSWERS, [])
        served = code.serving.Model(draft)
        served.load()
        _write_json(draft / files.METADATA, metadata | {"names": served.class_names()})
        _write_json(draft / files.RECORDED_ANSWERS, _recorded_answers(served, dataset))
        _copy_code(code.package, draft)
    return metadata


def check_parity(
    model: nn.Module, session: onnxruntime.InferenceSession, examples: Examples, spread: float = 1.0
) -> None:
    """Compare the answers of PyTorch and of ONNX Runtime.

    Args:
        spread: the range of an answer: 1 for a probability.

    Raises:
        UserError: an example gets another class, or an answer differs by more than TOLERANCE of the spread.
    """
    with torch.inference_mode():
        ours = model(torch.from_numpy(examples.inputs.astype(np.float32))).numpy()
    theirs = _answers(session, examples)
    classes, difference = int((ours.argmax(1) != theirs.argmax(1)).sum()), float(np.abs(ours - theirs).max()) / spread
    if classes or not difference <= TOLERANCE:
        raise UserError(
            f"The exported model does not answer like the trained one: {classes} of {len(examples)} validation "
            f"examples get another class, and an answer differs by {difference:.1e} of its range (allowed: none, and "
            f"{TOLERANCE:.0e}). No bundle was made."
        )


def _check_score(run: runs.Run, measured: float) -> None:
    """Refuse a model that is not the one whose score was recorded, and by which the run may have been chosen."""
    recorded = run.outputs.get(runs.SCORE)
    if recorded is not None and not abs(measured - recorded) <= SCORE_TOLERANCE:
        raise UserError(
            f"Run {run.uuid} recorded the score {recorded:.4f}, and its model scores {measured:.4f}: the record or "
            f"{run.model} was changed since. Train again, or choose another run: make best"
        )


def _answers(session: onnxruntime.InferenceSession, examples: Examples) -> np.ndarray:
    return session.run(None, {files.INPUT: examples.inputs.astype(np.float32)})[0]


def _load_model(code: Code, run: runs.Run, schema: Schema) -> Answers:
    network = code.model.build(schema)
    try:
        network.load_state_dict(torch.load(run.model, weights_only=True, map_location="cpu"))
    except (OSError, RuntimeError, ValueError, EOFError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")  # of torch's many lines the first tells nothing
        raise UserError(
            f"{run.model} is not a model of the network in model.py: {reason}. Choose another run: make best"
        ) from None
    return Answers(network, schema).eval()


def _export(model: nn.Module, schema: Schema, path: Path) -> None:
    example = torch.zeros(2, *schema.inputs.shape)  # two, because a batch of one would be taken for a constant
    torch.onnx.export(
        model, (example,), path, input_names=[files.INPUT], output_names=[files.OUTPUT],
        dynamic_shapes={"inputs": {0: torch.export.Dim("batch")}}, dynamo=True, external_data=False, verbose=False,
    )  # fmt: skip


def _metadata(code: Code, run: runs.Run, dataset: Dataset, session: onnxruntime.InferenceSession, model: Path) -> dict:
    """What the bundle says of itself. Its scores are measured here, with the model that is served, not copied."""
    outputs = dataset.schema.outputs
    measured = {
        name: outputs.score(_answers(session, dataset.splits[split]), dataset.splits[split].targets)
        for name, split in ((runs.SCORE, "validation"), (f"test_{runs.SCORE}", "test"))
    }
    known = [item.name for item in fields(code.training.Hyperparameters)]
    return {
        "format": FORMAT,
        "name": project.name(),
        "schema": dataset.schema.as_dict(),
        "run": {"uuid": run.uuid, "name": run.name, "created_at": run.created_at},
        "code": {
            "commit": run.inputs.get("commit"),
            "dirty": run.inputs.get("dirty"),
            "digest": run.inputs.get("code_digest"),
            "mlops_digest": run.inputs.get("mlops_digest"),
        },
        "data": {**{name: dataset.origin[name] for name in ("source", "digest", "seed")}, "counts": dataset.counts},
        "hyperparameters": {name: run.inputs.get(name) for name in known},
        "metric": outputs.metric,
        "metrics": measured | {"trivial_score": outputs.trivial_score(dataset.splits["validation"].targets)},
        "libraries": lineage.libraries(),
        "model_digest": sha256(model),
        "package_digest": package_digest(code.package),
        "training_inputs": describe(dataset.schema, dataset.splits["train"].inputs),
    }


def describe(schema: Schema, inputs: np.ndarray) -> dict[str, Any]:
    """Return the mean and the deviation over inputs [N, *shape] of each statistic that drift is judged by."""
    found = schema.inputs.describe(inputs)
    moments = zip(schema.inputs.statistics, found.mean(axis=0), found.std(axis=0), strict=True)
    return {
        "examples": len(inputs),
        "statistics": {name: {"mean": float(mean), "sd": float(sd)} for name, mean, sd in moments},
    }


def _recorded_answers(served: ServedModel, dataset: Dataset) -> list[dict]:
    """The first test examples, some of each class, as they are sent, and what the team's class answers to them."""
    test, inputs, outputs = dataset.splits["test"], dataset.schema.inputs, dataset.schema.outputs
    kinds = [np.arange(len(test))]
    if outputs.kind == "classes":
        kinds = [np.flatnonzero(test.targets == target) for target in np.unique(test.targets)]
    chosen = test.take(np.concatenate([rows[: -(-RECORDED // len(kinds))] for rows in kinds]))
    sent = [inputs.as_request(example) for example in chosen.inputs]
    answers = np.asarray(served.predict(sent, [], {}))
    return [
        {"inputs": one, "outputs": answer.tolist(), "label": outputs.decode(target)}
        for one, answer, target in zip(sent, answers, chosen.targets, strict=True)
    ]


def _copy_code(package: Path, draft: Path) -> None:
    """Copy the team's package, of which serving.py may import any part, and what serves of this one."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package, draft / package.name, ignore=ignored)
    here = Path(__file__).parent
    (draft / here.name).mkdir()
    for name in SERVED:
        if (here / name).is_dir():
            shutil.copytree(here / name, draft / here.name / name, ignore=ignored)
        else:
            shutil.copyfile(here / name, draft / here.name / name)
    for source, name in COPIED.items():
        (draft / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(source, draft / name)


def _write_json(path: Path, content) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
