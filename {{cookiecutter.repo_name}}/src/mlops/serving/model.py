"""A bundle's model: what the class in the team's `serving.py` inherits.

It has the methods that Seldon's wrapper calls, so it also runs in the stock `seldon-core-microservice`. Nothing but
numpy is imported with it, and ONNX Runtime when it is loaded: both environments have these.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import schema as schemas
from ..errors import Refused, UserError
from .bundle_files import INPUT, METADATA, MODEL, OUTPUT, RECORDED_ANSWERS, served_bundle
from .limits import ROWS

AT_ONCE = 32  # examples given to the network at a time: as fast as all at once, in a fraction of the memory
AGAIN = "Make the bundle again with `make package`."
TOLERANCE = 1e-4  # another machine computes the last bits differently


class ServedModel:
    """The methods that Seldon's wrapper calls. A team's class may change each of them."""

    def __init__(self, bundle: Path | None = None) -> None:
        self.bundle = bundle or served_bundle()
        self.metadata = _read_json(self.bundle / METADATA, "name", "schema", "run", "code", "data", "metrics", "model_digest")
        self.schema = schemas.from_dict(self.metadata["schema"], METADATA)
        self.session: Any = None

    def load(self) -> None:
        """Open the network and have the model give its recorded answers again.

        Raises:
            UserError: a file of the bundle is missing, or is not what was packed.
        """
        import onnxruntime

        path = self.bundle / MODEL
        content = _read(path)
        if hashlib.sha256(content).hexdigest() != self.metadata["model_digest"]:
            raise UserError(f"{path} is not the file that {METADATA} tells of: truncated, or changed. {AGAIN}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # several requests run at a time instead
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise UserError(f"{path} is not a model that ONNX Runtime can open ({error}). {AGAIN}") from None
        found = [(put.name, put.type, put.shape[1:]) for put in (*session.get_inputs(), *session.get_outputs())]
        taken, given = list(self.schema.inputs.shape), [len(self.schema.outputs.names)]
        if found != [(INPUT, "tensor(float)", taken), (OUTPUT, "tensor(float)", given)]:
            wanted = f"must take {INPUT} [N, {', '.join(map(str, taken))}] and give {OUTPUT} [N, {given[0]}], both float32"
            raise UserError(f"{path} {wanted}; it has {found}. {AGAIN}")
        self.session = session
        self.recorded = _read_json(self.bundle / RECORDED_ANSWERS, "label", "inputs", "outputs")
        if problem := self.unhealthy():
            raise UserError(f"{path}: {problem}. {AGAIN}")

    def read(self, X: Any, names: Sequence[str] = ()) -> np.ndarray:
        """Return what a request holds (lists, an array or bytes) as float32 [N, *shape].

        Raises:
            Refused: it does not fit the schema.
        """
        inputs = self.schema.inputs
        if isinstance(X, bytes):
            read = inputs.read_bytes(X)
        elif not isinstance(X, np.ndarray):
            read = inputs.read_json(X, "data.ndarray", names)
        elif X.dtype == np.float32 and X.shape[1:] == inputs.shape:
            return X  # read already: what comes over the network is never float32
        elif X.size and X.dtype.kind not in "iuf":
            raise Refused("data holds something that is not a number.")
        else:
            read = inputs.read_array(X)
        if len(read) > ROWS:
            raise Refused(f"At most {ROWS} examples in one request; these are {len(read)}. Send several requests.")
        return read

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """Return the network's answers float32 [N, outputs] to inputs float32 [N, *shape]."""
        parts = range(0, len(inputs), AT_ONCE)
        answers = [self.session.run(None, {INPUT: inputs[at : at + AT_ONCE]})[0] for at in parts]
        return answers[0] if len(answers) == 1 else np.concatenate(answers)

    def predict(self, X, names=None, meta=None):
        """Answer a request."""
        return self.run(self.read(X, names))

    def class_names(self) -> list[str]:
        """Return the names of the answers, in their order."""
        return self.schema.outputs.names

    def tags(self) -> dict[str, str]:
        """Return what goes into every answer's meta: the run that answers, and its commit."""
        commit = self.metadata["code"]["commit"]
        return {"run": self.metadata["run"]["uuid"], **({"commit": commit} if commit else {})}

    def metrics(self) -> list[dict]:
        """Return metrics of your own after each answer: {"type": "COUNTER", "GAUGE" or "TIMER", "key", "value", "tags"}."""
        return []

    def send_feedback(self, features, feature_names, reward, truth, routing=None) -> None:
        """Take what an answer was worth. It is counted in the metrics before."""

    def unhealthy(self) -> str:
        """Return why the model does not give its recorded answers; empty when it does."""
        if not self.recorded:  # while the bundle is made
            return ""
        expected = np.array([row["outputs"] for row in self.recorded])
        found = np.asarray(self.predict([row["inputs"] for row in self.recorded], [], {}))
        tolerance = TOLERANCE * self.schema.outputs.spread
        if found.shape != expected.shape or not np.allclose(found, expected, rtol=0, atol=tolerance):
            return f"it does not give the answers in {RECORDED_ANSWERS}"
        return ""

    def health_status(self) -> dict:
        """Return that the model is ready: it gives its recorded answers."""
        if problem := self.unhealthy():
            raise RuntimeError(problem)
        return {"status": "ready", "examples": len(self.recorded), **self.tags()}

    def init_metadata(self) -> dict:
        """Return shapes, and where the model comes from. Seldon wants the values of `custom` as text."""
        code, data, inputs = self.metadata["code"], self.metadata["data"], self.schema.inputs
        custom = {
            **self.tags(),
            "model_digest": self.metadata["model_digest"],
            "dirty": code["dirty"],
            "code_digest": code["digest"],
            "data_source": data["source"],
            "data_digest": data["digest"],
            **self.metadata["metrics"],
            "accepts": f"data.ndarray, data.tensor: {inputs.accepts}",
            "schema": json.dumps(self.metadata["schema"]),
        }
        return {
            "name": self.metadata["name"],
            "versions": [self.metadata["run"]["uuid"]],
            "platform": "onnxruntime",
            "inputs": [{"name": INPUT, "datatype": "FP32", "shape": [-1, *inputs.shape]}],
            "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, len(self.class_names())]}],
            "custom": {key: str(value) for key, value in custom.items() if value is not None},
        }


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}. Make the bundle with `make package`.") from None


def _read_json(path: Path, *keys: str) -> Any:
    """Return a JSON file of the bundle. The keys must be in it (in each element, when it is a list)."""
    try:
        content = json.loads(_read(path))
        for element in content if isinstance(content, list) else [content]:
            for key in keys:
                element[key]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({type(error).__name__}: {error}). {AGAIN}") from None
    return content
