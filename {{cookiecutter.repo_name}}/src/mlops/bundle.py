"""Make a bundle of a run: the model as ONNX, its metadata, its recorded answers, and the code that serves it.

The bundle is a source for s2i as it stands, and a folder that `python -m mlops.serving` serves.
"""

import json
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import dataset as datasets
from . import lineage, project, runs
from .bundle_source import package_digest, sha256, sources
from .dataset import Dataset
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
    missing = [str(path) for path in sources(code.package).values() if not path.is_file()]
    if missing:
        raise UserError(f"{' and '.join(missing)} not found: run this in the repository's root.")
    model = _load_model(code, run, dataset.schema)
    with atomic_folder(output) as draft:
        _export(model, dataset.schema, draft / files.MODEL)
        metadata = _metadata(code, run, dataset, draft / files.MODEL)
        _write_json(draft / files.METADATA, metadata)
        _write_json(draft / files.RECORDED_ANSWERS, [])
        served = code.serving.Model(draft)
        served.load()
        _check_parity(model, served, dataset)
        metadata |= {"names": served.class_names(), "metrics": _scores(run, served, dataset)}
        _write_json(draft / files.METADATA, metadata)
        _write_json(draft / files.RECORDED_ANSWERS, _recorded_answers(served, dataset))
        for name, source in sources(code.package).items():
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, draft / name)
    return metadata


def _check_parity(model: nn.Module, served: ServedModel, dataset: Dataset) -> None:
    """Compare the answers of PyTorch and of ONNX Runtime to the validation examples.

    Raises:
        UserError: an example gets another class, or an answer differs by more than TOLERANCE of its range.
    """
    inputs = dataset.splits["validation"].inputs.astype(np.float32)
    with torch.inference_mode():
        ours = model(torch.from_numpy(inputs)).numpy()
    theirs = served.run(inputs)
    classes = int((ours.argmax(1) != theirs.argmax(1)).sum())
    difference = float(np.abs(ours - theirs).max()) / dataset.schema.outputs.spread
    if classes or not difference <= TOLERANCE:
        raise UserError(
            f"The exported model does not answer like the trained one: {classes} of {len(inputs)} validation "
            f"examples get another class, and an answer differs by {difference:.1e} of its range (allowed: none, and "
            f"{TOLERANCE:.0e}). No bundle was made."
        )


def _scores(run: runs.Run, served: ServedModel, dataset: Dataset) -> dict[str, float]:
    """Measure the scores of the model that is served.

    Raises:
        UserError: it is not the model whose score was recorded, and by which the run may have been chosen.
    """
    outputs, found = dataset.schema.outputs, {}
    for name, split in ((runs.SCORE, "validation"), (f"test_{runs.SCORE}", "test")):
        examples = dataset.splits[split]
        found[name] = outputs.score(served.run(examples.inputs.astype(np.float32)), examples.targets)
    recorded, measured = run.outputs.get(runs.SCORE), found[runs.SCORE]
    if recorded is not None and not abs(measured - recorded) <= SCORE_TOLERANCE:
        raise UserError(
            f"Run {run.uuid} recorded the score {recorded:.4f}, and its model scores {measured:.4f}: the record or "
            f"{run.model} was changed since. Train again, or choose another run: make best"
        )
    return found | {"trivial_score": outputs.trivial_score(dataset.splits["validation"].targets)}


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


def _metadata(code: Code, run: runs.Run, dataset: Dataset, model: Path) -> dict:
    """Return the metadata that is known before the model is served."""
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
        "metric": dataset.schema.outputs.metric,
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
    """Return the first test examples, some of each class, as they are sent, and the answers of the team's class."""
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


def _write_json(path: Path, content) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
