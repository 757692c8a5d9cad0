"""A bundle's model behind seldon-core-microservice: what the class in the team's `serving.py` inherits.

- `predict_raw` takes the request's bytes, so nothing on the way to the model is parsed twice or made a protobuf.
- What is wrong with a request is said in a 4xx (http.py); a fault of ours is logged, and answered by a 500 that tells
  nothing.
- Metrics go to memory that the workers share with the metrics page, after the answer is sent (metrics.py).
- SIGTERM ends the server when every request that it was sent is answered (server.py).
- A bundle that is not whole stops the start with a message.
"""

import atexit
import hashlib
import json
import logging
import math
import multiprocessing
import os
import sys
import threading
import time
from multiprocessing import util
from typing import Any, NoReturn

import numpy as np
import orjson
from google.protobuf import json_format
from gunicorn.arbiter import Arbiter
from seldon_core.proto import prediction_pb2
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    InternalServerError,
    ServiceUnavailable,
)

from .. import schema as schemas
from ..errors import UserError
from .bundle_files import INPUT, METADATA, MODEL, OUTPUT, RECORDED_ANSWERS, served_bundle
from .http import error_pages
from .messages import checked, read_inputs, read_json, read_meta
from .metrics import RECORDER
from .server import end_with_parent, tune_wrapper

logger = logging.getLogger(__name__)

AT_ONCE = 32  # examples given to the model at a time: as fast as all at once, in a fraction of the memory
AGAIN = "Make the bundle again with `make package`."
# Recorded and given again on another machine: the same model's answers differ in the last bits only.
TOLERANCE = 1e-4


class ServedModel:
    """The methods that `seldon-core-microservice` calls."""

    def __init__(self):
        self.metadata = _read_json(METADATA, "name", "schema", "run", "code", "data", "metrics", "model_digest")
        try:
            self.schema = schemas.from_dict(self.metadata["schema"], METADATA)
        except UserError as error:
            _stop(f"{error} {AGAIN}")
        self.names = self.schema.outputs.names
        self.session: Any = None  # ONNX Runtime's, in a worker that has loaded the model
        self.model_error_handler = error_pages(self)

    def load(self) -> None:
        """Open the model, in each worker, and have it give its recorded answers again. SystemExit when it cannot."""
        if multiprocessing.parent_process():  # a gRPC worker; those of REST are gunicorn's
            threading.Thread(target=end_with_parent, daemon=True).start()
        try:
            self._load()
        except Exception as error:  # the wrapper would swallow some of these, and serve half a model
            logger.exception("load")
            _stop(f"{type(error).__name__}: {error}")

    def _load(self) -> None:
        import onnxruntime  # here: the wrapper's other processes need none of its memory

        path = served_bundle() / MODEL
        model = _read(MODEL)
        if hashlib.sha256(model).hexdigest() != self.metadata["model_digest"]:
            _stop(f"{path} is not the file that {METADATA} tells of: truncated, or changed. {AGAIN}")
        options = onnxruntime.SessionOptions()
        # One thread a worker: workers share the cores, and more threads than cores collapse under load.
        options.intra_op_num_threads = options.inter_op_num_threads = int(os.environ.get("MODEL_THREADS", "1"))
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            _stop(f"{path} is not a model that ONNX Runtime can open ({error}). {AGAIN}")
        found = [(put.name, put.type, put.shape[1:]) for put in (*session.get_inputs(), *session.get_outputs())]
        taken, given = list(self.schema.inputs.shape), [len(self.names)]
        if found != [(INPUT, "tensor(float)", taken), (OUTPUT, "tensor(float)", given)]:
            wanted = f"must take {INPUT} [N, {', '.join(map(str, taken))}] and give {OUTPUT} [N, {given[0]}], both float32"
            _stop(f"{path} {wanted}; it has {found}. {AGAIN}")
        self.session = session
        self.recorded = _read_json(RECORDED_ANSWERS, "label", "inputs", "outputs")
        if problem := self.unhealthy():
            _stop(f"{path}: {problem}. {AGAIN}")

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """Return the network's answers float32 [N, len(names)] to inputs float32 [N, *shape]."""
        if len(inputs) <= AT_ONCE:
            return self.session.run(None, {INPUT: inputs})[0]
        parts = range(0, len(inputs), AT_ONCE)
        return np.concatenate([self.session.run(None, {INPUT: inputs[at : at + AT_ONCE]})[0] for at in parts])

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Return the answers to the inputs of a request; the team's class may do more."""
        return self.run(inputs)

    def predict_raw(self, message):
        """Answer a request: its body (bytes, or text from a form) over REST, a SeldonMessage over gRPC."""
        try:
            if isinstance(message, prediction_pb2.SeldonMessage):
                return self._predict_proto(message)
            return self._predict_json(message)
        except HTTPException:
            raise
        except Exception:
            logger.exception("predict")
            raise InternalServerError("The model failed on this request; the server's log says why.") from None

    def _predict_json(self, body) -> bytes:
        started = time.perf_counter()
        message = read_json(body)
        meta = read_meta(message)
        inputs, form = read_inputs(message, self.schema.inputs)
        answers = self.predict(inputs)
        if form == "tensor":
            data = {"names": self.names, "tensor": {"shape": answers.shape, "values": answers.ravel()}}
        else:
            data = {"names": self.names, "ndarray": answers}
        meta["tags"] = {**meta.get("tags", {}), **self.tags()}
        answer = orjson.dumps({"data": data, "meta": meta}, option=orjson.OPT_SERIALIZE_NUMPY)
        RECORDER.answered(inputs, answers.argmax(axis=1), time.perf_counter() - started)
        return answer

    def _predict_proto(self, message):
        started = time.perf_counter()
        inputs, form = self._read_proto(message)
        answers = self.predict(inputs)
        answer = prediction_pb2.SeldonMessage()
        answer.meta.CopyFrom(message.meta)
        for key, value in self.tags().items():
            answer.meta.tags[key].string_value = value
        answer.data.names.extend(self.names)
        if form == "ndarray":
            json_format.ParseDict(answers.tolist(), answer.data.ndarray)
        else:
            answer.data.tensor.shape.extend(answers.shape)
            answer.data.tensor.values.extend(answers.ravel().tolist())
        RECORDER.answered(inputs, answers.argmax(axis=1), time.perf_counter() - started)
        return answer

    def _read_proto(self, message) -> tuple:
        kind, schema = message.WhichOneof("data_oneof"), self.schema.inputs
        if kind == "binData":
            return checked(schema.read_bytes, message.binData), "tensor"
        if kind != "data" or message.data.WhichOneof("data_oneof") not in ("tensor", "ndarray"):
            raise BadRequest('Send either "data", with "ndarray" or "tensor", or "binData".')
        if message.data.WhichOneof("data_oneof") == "ndarray":
            values = json_format.MessageToDict(message.data.ndarray)
            return checked(schema.read_json, values, "data.ndarray"), "ndarray"
        values, shape = np.array(message.data.tensor.values), tuple(message.data.tensor.shape)
        if min(shape, default=0) < 0 or values.size != math.prod(shape):
            raise BadRequest("data.tensor.values must hold as many numbers as data.tensor.shape says.")
        return checked(schema.read_array, values.reshape(shape)), "tensor"

    def tags(self) -> dict:
        """Which run answers, and from which commit: in every answer's meta."""
        commit = self.metadata["code"]["commit"]
        return {"run": self.metadata["run"]["uuid"], **({"commit": commit} if commit else {})}

    def class_names(self) -> list:
        """The names of the answers, in their order."""
        return self.names

    def unhealthy(self) -> str:
        """Why the model does not give its recorded answers; empty when it does."""
        if self.session is None:
            return "the model is not loaded"
        inputs = np.array([answer["inputs"] for answer in self.recorded], dtype=np.float32)
        expected = np.array([answer["outputs"] for answer in self.recorded])
        found = self.run(inputs.reshape(-1, *self.schema.inputs.shape))
        if found.shape != expected.shape or not np.allclose(found, expected, rtol=0, atol=TOLERANCE):
            return f"it does not give the answers in {RECORDED_ANSWERS}"
        return ""

    def health_status(self) -> dict:
        """For /health/status: predicts the recorded examples, and is healthy when the answers are the recorded ones."""
        if problem := self.unhealthy():
            raise ServiceUnavailable(f"Not ready: {problem}.")
        return {"status": "ready", "examples": len(self.recorded), **self.tags()}

    def init_metadata(self) -> dict:
        """For /metadata: shapes, and where the model comes from. The wrapper wants the values of `custom` as text."""
        code, data, metrics = self.metadata["code"], self.metadata["data"], self.metadata["metrics"]
        custom = {
            "run": self.metadata["run"]["uuid"],
            "model_digest": self.metadata["model_digest"],
            "commit": code["commit"],
            "dirty": code["dirty"],
            "code_digest": code["digest"],
            "data_source": data["source"],
            "data_digest": data["digest"],
            **metrics,
            "accepts": f"data.ndarray or data.tensor as {self.schema.inputs.accepts}; binData as one byte a value",
            "schema": json.dumps(self.metadata["schema"]),
        }
        return {
            "name": self.metadata["name"],
            "versions": [self.metadata["run"]["uuid"]],
            "platform": "onnxruntime",
            "inputs": [{"name": INPUT, "datatype": "FP32", "shape": [-1, *self.schema.inputs.shape]}],
            "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, len(self.names)]}],
            "custom": {key: str(value) for key, value in custom.items() if value is not None},
        }

    def send_feedback_raw(self, feedback):
        """Feedback is counted (the wrapper adds the reward to the metrics) and answered by an empty message."""
        return prediction_pb2.SeldonMessage()


# The bundle


def _stop(message: str) -> NoReturn:
    """End the start. The exit code is the one that makes gunicorn stop, where another would make it try for ever."""
    print(f"The model cannot be served: {message}", file=sys.stderr, flush=True)
    # multiprocessing's, which in a worker would end the metrics page's process
    atexit.unregister(util._exit_function)  # type: ignore[attr-defined]
    raise SystemExit(Arbiter.WORKER_BOOT_ERROR)


def _read(name: str) -> bytes:
    path = served_bundle() / name
    try:
        return path.read_bytes()
    except OSError as error:
        _stop(f"{path}: {error.strerror}. Make the bundle with `make package`.")


def _read_json(name: str, *keys):
    """A JSON file of the bundle. The keys must be in it (in each element, when it is a list)."""
    try:
        content = json.loads(_read(name))
        for element in content if isinstance(content, list) else [content]:
            for key in keys:
                element[key]
    except (ValueError, KeyError, TypeError) as error:
        _stop(f"{served_bundle() / name} is damaged ({type(error).__name__}: {error}). {AGAIN}")
    return content


tune_wrapper()
