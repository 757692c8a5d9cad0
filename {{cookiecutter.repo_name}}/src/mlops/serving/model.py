"""The model of a bundle: the base of the class in the team's `serving.py`.

It has the methods that Seldon's wrapper calls, so it also runs in the stock `seldon-core-microservice`. It imports
numpy, and ONNX Runtime when it is loaded: both environments have these.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import schema as schemas
from ..errors import Refused, UserError
from .bundle_files import INPUT, METADATA, MODEL, OUTPUT, RECORDED_ANSWERS, REMEDY, read_bundle
from .limits import ROWS

HERE = Path(__file__).resolve().parents[2]  # the bundle that this copy of mlops is in
AT_ONCE = 32  # examples given to the network at a time: as fast as all at once, in a fraction of the memory
TOLERANCE = 1e-4  # another machine computes the last bits differently


class ServedModel:
    """The methods that Seldon's wrapper calls. A team's class may change each of them."""

    def __init__(self, bundle: Path = HERE) -> None:
        self.bundle = bundle
        self.content, self.metadata, self.recorded = read_bundle(bundle)
        self.schema = schemas.from_dict(self.metadata["schema"], METADATA)

    def load(self) -> None:
        """Open the network and check that the model gives its recorded answers again.

        Raises:
            UserError: it is not a network for the schema, or it answers otherwise.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # several requests run at a time instead
        options.log_severity_level = 3
        shape, width = self.schema.inputs.shape, len(self.schema.outputs.names)
        try:
            self.session = onnxruntime.InferenceSession(self.content, options, providers=["CPUExecutionProvider"])
            answers = self.run(np.zeros((1, *shape), np.float32))
        except Exception as error:  # ONNX Runtime has a class of its own for each kind
            raise UserError(f"{self.bundle / MODEL} cannot be run by ONNX Runtime: {error} {REMEDY}") from None
        if answers.shape != (1, width):
            raise UserError(f"{self.bundle / MODEL} gives {answers.shape[1:]} numbers, not {width}. {REMEDY}")
        self.health_status()

    def read(self, X: Any, names: Sequence[str] | None = None) -> np.ndarray:
        """Return a request's values (lists, an array or bytes) as float32 [N, *shape].

        Raises:
            Refused: they do not fit the schema.
        """
        inputs = self.schema.inputs
        if isinstance(X, np.ndarray) and X.dtype == np.float32 and X.shape[1:] == inputs.shape:
            return X  # read already: values from the network are never float32
        if isinstance(X, bytes):
            read = inputs.read_bytes(X)
        elif not isinstance(X, np.ndarray):
            read = inputs.read_json(X, "data.ndarray", names)
        elif X.size and X.dtype.kind not in "iuf":
            raise Refused("data holds something that is not a number.")
        else:
            read = inputs.read_array(X)
        if len(read) > ROWS:
            raise Refused(f"At most {ROWS} examples in one request; these are {len(read)}. Send several requests.")
        return read

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """Return the network's answers float32 [N, outputs] to inputs float32 [N, *shape]."""
        if len(inputs) <= AT_ONCE:
            return self.session.run(None, {INPUT: inputs})[0]
        return np.concatenate([self.run(inputs[at : at + AT_ONCE]) for at in range(0, len(inputs), AT_ONCE)])

    def predict(self, X: Any, names: Sequence[str] | None = None, meta: dict | None = None) -> Any:
        """Answer a request."""
        return self.run(self.read(X, names))

    def class_names(self) -> list[str]:
        """Return the names of the answers, in their order."""
        return self.schema.outputs.names

    def tags(self) -> dict[str, str]:
        """Return the tags of every answer's meta: the run that answers, and its commit."""
        commit = self.metadata["code"]["commit"]
        return {"run": self.metadata["run"]["uuid"], **({"commit": commit} if commit else {})}

    def metrics(self) -> list[dict]:
        """Return metrics of your own after each answer: {"type" (COUNTER, GAUGE or TIMER), "key", "value", "tags"}."""
        return []

    def send_feedback(self, features, feature_names, reward, truth, routing=None) -> None:
        """Take the reward of an answer. The server has counted it already."""

    def health_status(self) -> dict:
        """Return that the model is ready.

        Raises:
            UserError: it does not give its recorded answers.
        """
        if self.recorded:  # there are none while the bundle is made
            check_answers(self.predict([row["inputs"] for row in self.recorded], [], {}), self.recorded, self.schema)
        return {"status": "ready", "examples": len(self.recorded), **self.tags()}

    def init_metadata(self) -> dict:
        """Return the shapes and the bundle's metadata; Seldon wants the values of `custom` as text."""
        inputs, known = self.schema.inputs, {"accepts": self.schema.inputs.accepts, **self.metadata}
        return {
            "name": self.metadata["name"],
            "versions": [self.metadata["run"]["uuid"]],
            "platform": "onnxruntime",
            "inputs": [{"name": INPUT, "datatype": "FP32", "shape": [-1, *inputs.shape]}],
            "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, len(self.class_names())]}],
            "custom": {key: value if isinstance(value, str) else json.dumps(value) for key, value in known.items()},
        }


def check_answers(answers: Any, recorded: list[dict], schema: schemas.Schema) -> float:
    """Return the largest difference between answers [N, outputs] and the recorded ones.

    Raises:
        UserError: it is too large.
    """
    problem = f"the model does not give the answers in {RECORDED_ANSWERS}"
    found, expected = np.asarray(answers), np.array([row["outputs"] for row in recorded])
    if found.shape != expected.shape:
        raise UserError(f"{problem}: they have the shape {found.shape}, not {expected.shape}. {REMEDY}")
    differences = np.abs(found - expected).max(axis=1)
    worst, allowed = differences.argmax(), TOLERANCE * schema.outputs.spread  # NaN is the largest of all
    if not differences[worst] <= allowed:
        example, difference = f"example {worst} ({recorded[worst]['label']})", differences[worst]
        raise UserError(
            f"{problem}: {example} differs by {difference:.2g} in an output (allowed: {allowed:g}). {REMEDY}"
        )
    return differences[worst]
