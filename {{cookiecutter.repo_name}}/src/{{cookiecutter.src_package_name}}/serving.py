"""The model as Seldon serves it: pixels in, class probabilities out, with the run that answered.

    cd build/bundle && seldon-core-microservice PACKAGE.serving.DigitClassifier --service-type MODEL

What a caller sends, 0 to 255, white ink on black, as `data.ndarray` or `data.tensor` (N x 28 x 28, N x 784,
N x 1 x 28 x 28, or one 28 x 28) or as `binData` (N x 784 bytes in base64):

    curl -H 'Content-Type: application/json' -d '{"data": {"ndarray": [...]}}' http://HOST:9000/api/v1.0/predictions

To serve another model, change `read_images` (what is accepted), `DigitClassifier.classify` (what is done with it)
and the statistics in drift.py. The rest holds for any model behind this wrapper:

- `predict_raw` takes the request's bytes, so nothing on the way to the model is parsed twice or made a protobuf.
- What is wrong with a request is said in a 4xx; a fault of ours is logged and answered by a 500 that tells nothing.
- Metrics go to memory that the workers share with the process of the metrics page, and cost microseconds.
- SIGTERM ends the server when every request that it was sent is answered.
- A bundle that is not whole stops the start with a message.
"""

import atexit
import base64
import binascii
import bisect
import ctypes
import fcntl
import hashlib
import json
import logging
import math
import mmap
import multiprocessing
import os
import select
import selectors
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
from functools import partial
from multiprocessing.util import _exit_function
from pathlib import Path

import numpy as np
import orjson
import seldon_core.microservice
import seldon_core.wrapper
from flask import Blueprint, Response, current_app, request
from google.protobuf import json_format
from gunicorn.arbiter import Arbiter
from gunicorn.workers import gthread
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from seldon_core.metrics import DEFAULT_LABELS, FEEDBACK_KEY, FEEDBACK_REWARD_KEY, SeldonMetrics
from seldon_core.proto import prediction_pb2
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    InternalServerError,
    MethodNotAllowed,
    NotFound,
    RequestEntityTooLarge,
    ServiceUnavailable,
    UnsupportedMediaType,
)

from .drift import (
    IMAGES_METRIC,
    INFO_METRIC,
    SQUARES_METRIC,
    STATISTICS,
    SUM_METRIC,
    statistics,
)

logger = logging.getLogger(__name__)

SIDE = 28
PIXELS = SIDE * SIDE
CLASSES = 10
MOST_IMAGES = 1024  # in one request
MOST_BYTES = 8 * 1024 * 1024  # of one request: 1,024 images as JSON numbers with a few decimals
MOST_DISCARDED = 8 * MOST_BYTES  # of a longer request, which are read before it is refused
AT_ONCE = 32  # images given to the model at a time: as fast as all at once, in a fraction of the memory
SHAPES = f"N x {SIDE} x {SIDE}, N x {PIXELS}, N x 1 x {SIDE} x {SIDE} or one {SIDE} x {SIDE}"
PREDICT = "/api/v1.0/predictions"
PREDICT_PATHS = {PREDICT, "/api/v0.1/predictions", "/predict"}
POST_ONLY = {*PREDICT_PATHS, "/api/v1.0/feedback", "/api/v0.1/feedback", "/send-feedback"}
# The wrapper's routes for other kinds of models, for files of which there are none, and no route at all.
NOT_OURS = ("TransformInput", "TransformOutput", "Route", "Aggregate", "static", None)
AGAIN = "Make the bundle again with `make package`."
AS_JSON = "Send the request as JSON, with Content-Type: application/json."
PATIENCE = 0.02  # seconds for which a worker leaves a new connection to one with fewer
LINGER = 2.0  # seconds for which a connection that was promised to stay open does, when the server stops
# Recorded and given again on another machine: the same model's answers differ in the last bits only.
TOLERANCE = 1e-4


# ---------------------------------------------------------------------------------------------------------------
# Requests: what is accepted, and what is said when it is not


def _array(values, field: str) -> np.ndarray:
    """Numbers from JSON as an array; BadRequest when they are ragged or not numbers."""
    if not isinstance(values, list):
        raise BadRequest(f"{field} must be a list of numbers.")
    try:
        array = np.array(values)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise BadRequest(f"{field} is ragged or nested too deep: send images as {SHAPES}.") from None
    if array.size and array.dtype.kind not in "iuf":
        raise BadRequest(f"{field} holds something that is not a number: pixels are numbers from 0 to 255.")
    return array


def _tensor(tensor) -> np.ndarray:
    """A Seldon tensor ({"shape": [...], "values": [...]}) as an array."""
    if not isinstance(tensor, dict) or "shape" not in tensor or "values" not in tensor:
        raise BadRequest('data.tensor must hold "shape" and "values".')
    shape = tensor["shape"]
    if not isinstance(shape, list) or not all(type(size) is int and 0 <= size <= MOST_BYTES for size in shape):
        raise BadRequest(f"data.tensor.shape must be a list of whole numbers: send images as {SHAPES}.")
    values = _array(tensor["values"], "data.tensor.values")
    if values.ndim != 1 or values.size != math.prod(shape):
        raise BadRequest("data.tensor.values must be one flat list, of as many numbers as data.tensor.shape says.")
    return values.reshape(shape)


def _bytes(text) -> np.ndarray:
    """binData, base64 of N x 784 bytes, as an array [N, 784]."""
    if not isinstance(text, (str, bytes)):
        raise BadRequest(f"binData must be base64 text of N x {PIXELS} bytes, one a pixel, row by row.")
    try:
        pixels = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest(f"binData is not base64: send N x {PIXELS} bytes in base64, row by row.") from None
    return _rows(pixels)


def _rows(pixels: bytes) -> np.ndarray:
    if len(pixels) % PIXELS:
        raise BadRequest(f"binData holds {len(pixels)} bytes, not a multiple of {PIXELS}: send one byte a pixel.")
    return np.frombuffer(pixels, dtype=np.uint8).reshape(-1, PIXELS)


def as_images(array: np.ndarray) -> np.ndarray:
    """Pixels in one of the accepted shapes as float32 [N, 1, 28, 28]; BadRequest when they are not images."""
    shape = array.shape
    if array.size == 0:
        raise BadRequest(f"There is no image in the request: send images as {SHAPES}.")
    if shape != (SIDE, SIDE) and shape[1:] not in ((SIDE, SIDE), (PIXELS,), (1, SIDE, SIDE)):
        seen = " x ".join(map(str, shape[:6])) + (" x ..." if len(shape) > 6 else "")
        raise BadRequest(f"Images have the shape {SHAPES}; these have {seen}.")
    if array.size > MOST_IMAGES * PIXELS:
        count = array.size // PIXELS
        raise BadRequest(f"At most {MOST_IMAGES} images in one request; these are {count}. Send several requests.")
    if array.dtype != np.uint8 and not (array.min() >= 0 and array.max() <= 255):  # false for NaN too
        raise BadRequest("Pixels are finite numbers from 0 (black) to 255 (white ink); these are not.")
    return array.reshape(-1, 1, SIDE, SIDE).astype(np.float32)


def read_json(body) -> dict:
    """A request's body, bytes or text, as a Seldon message."""
    if not body:
        raise BadRequest('The body is empty: send {"data": {"ndarray": [...]}} with Content-Type: application/json.')
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    if not isinstance(message, dict):
        raise BadRequest('The body must be a JSON object, such as {"data": {"ndarray": [...]}}.')
    return message


def read_images(message: dict) -> tuple:
    """The images of a Seldon message, float32 [N, 1, 28, 28], and the form to answer in ("ndarray" or "tensor")."""
    data, binary = message.get("data"), message.get("binData")
    if (data is None) == (binary is None):
        raise BadRequest('Send either "data", with "ndarray" or "tensor", or "binData".')
    if binary is not None:
        return as_images(_bytes(binary)), "ndarray"
    if not isinstance(data, dict):
        raise BadRequest('"data" must be an object with "ndarray" or "tensor".')
    values, tensor = data.get("ndarray"), data.get("tensor")
    if (values is None) == (tensor is None):
        raise BadRequest('"data" must hold either "ndarray" or "tensor".')
    if tensor is not None:
        return as_images(_tensor(tensor)), "tensor"
    return as_images(_array(values, "data.ndarray")), "ndarray"


def read_meta(message: dict) -> dict:
    """What of a request's meta goes into the answer's: the request's id and tags, as the wrapper does."""
    meta = message.get("meta")
    if meta is None:
        return {}
    if not isinstance(meta, dict):
        raise BadRequest('"meta" must be an object, or left out.')
    puid, tags = meta.get("puid"), meta.get("tags")
    if not isinstance(puid, (str, type(None))) or not isinstance(tags, (dict, type(None))):
        raise BadRequest('"meta.puid" must be text and "meta.tags" an object, or left out.')
    return {key: value for key, value in (("puid", puid), ("tags", tags)) if value}


# ---------------------------------------------------------------------------------------------------------------
# Metrics: one row of numbers for each worker, in memory that all processes of the server share

CODES = (200, 400, 405, 413, 415, 500)
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
COLUMNS = {  # how many numbers of a row belong to what
    "owner": 1,
    "connections": 1,
    "codes": len(CODES) + 1,
    "seconds": len(SECONDS) + 1,
    "seconds_sum": 1,
    "batches": len(BATCHES) + 1,
    "images": 1,
    "classes": CLASSES,
    "sums": len(STATISTICS),
    "squares": len(STATISTICS),
    "feedback": 1,
    "reward": 1,
}
WORKERS = 64  # rows, so workers that can be alive at once


class Recorder:
    """The counts of all workers of this server, in anonymous shared memory: no file, no lock between processes.

    Made before the wrapper forks, so that every process has it. Each worker takes a row of its own and is its only
    writer; a worker that ends leaves its counts, and the next one goes on from them.
    """

    def __init__(self):
        width = sum(COLUMNS.values())
        self._memory = mmap.mmap(-1, WORKERS * width * 8)
        self._rows = np.frombuffer(self._memory, dtype=np.float64).reshape(WORKERS, width)
        self._part, start = {}, 0
        for name, size in COLUMNS.items():
            self._part[name] = slice(start, start + size)
            start += size
        self._threads = threading.Lock()
        self._pid, self._row = None, None

    def _own(self) -> dict:
        """This process's row, taken when it first counts something: views of it by name."""
        if self._pid != os.getpid():
            with open(__file__, "rb") as lock:  # released by the system even when this process is killed
                fcntl.flock(lock, fcntl.LOCK_EX)
                row = next((row for row in self._rows if not _alive(int(row[0]))), self._rows[-1])
                row[0] = os.getpid()
            self._row = {name: row[part] for name, part in self._part.items()}
            self._pid = os.getpid()
        return self._row

    def release(self) -> None:
        """Leave this process's row, with its counts, to the next worker."""
        if self._pid == os.getpid():
            self._row["owner"][0] = 0
            self._pid = None

    def count(self, code: int) -> None:
        """A request for a prediction was answered with this HTTP status."""
        with self._threads:
            self._own()["codes"][CODES.index(code) if code in CODES else -1] += 1

    def answered(self, images: np.ndarray, classes: np.ndarray, seconds: float) -> None:
        """Images [N, 1, 28, 28] were found to be of these classes [N] in this time."""
        found = statistics(images)
        with self._threads:
            own = self._own()
            own["codes"][0] += 1
            own["seconds"][bisect.bisect_left(SECONDS, seconds)] += 1
            own["seconds_sum"] += seconds
            own["batches"][bisect.bisect_left(BATCHES, len(images))] += 1
            own["images"] += len(images)
            own["classes"] += np.bincount(classes, minlength=CLASSES)
            own["sums"] += found.sum(axis=0)
            own["squares"] += np.square(found).sum(axis=0)

    def hold(self, connections: int) -> None:
        """This worker holds so many connections now."""
        self._own()["connections"][0] = connections

    def holds_most(self, connections: int) -> bool:
        """Whether another worker that is alive holds fewer connections than this one would."""
        rows, column = self._rows, self._part["connections"].start
        others = [row for row in rows[rows[:, 0] > 0] if int(row[0]) != os.getpid() and row[column] < connections]
        return any(_alive(int(row[0])) for row in others)

    def rewarded(self, reward: float) -> None:
        """Feedback came with this reward."""
        with self._threads:
            self._own()["feedback"] += 1
            self._own()["reward"] += reward

    def totals(self) -> dict:
        """The counts over all workers since the server started, by name."""
        total = self._rows.sum(axis=0)
        return {name: total[part] for name, part in self._part.items()}


def _alive(pid: int) -> bool:
    if pid == 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


RECORDER = Recorder()


class PageMetrics(SeldonMetrics):
    """The wrapper's metrics page, from RECORDER.

    The wrapper's own class asks a manager process on every request, which takes half of the time of a prediction
    and holds the workers up on one lock. Metrics that it would collect from a model's `metrics()` are not kept:
    give a new metric its columns in COLUMNS and a line in `collect`.
    """

    def __init__(self, worker_id_func=os.getpid, extra_default_labels=None):
        self._labels = {**DEFAULT_LABELS, **(extra_default_labels or {})}
        self.run = ""

    def __del__(self):
        pass  # there is no manager to shut down

    def update(self, custom_metrics, method):
        for metric in custom_metrics:
            logger.error("Metric %s is not kept: serving.py says how to add one", metric.get("key"))

    def update_reward(self, reward):
        if reward:
            RECORDER.rewarded(reward)

    def clear(self):
        RECORDER.release()

    def _family(self, kind, name, text, samples):
        """A metric family: samples are (labels of its own, arguments of add_metric)."""
        names = [*samples[0][0], *self._labels]
        family = kind(name, text, labels=names)
        for labels, arguments in samples:
            family.add_metric([*labels.values(), *self._labels.values()], *arguments)
        return family

    def _histogram(self, name, text, bounds, counts, total):
        buckets = [[str(bound), count] for bound, count in zip([*bounds, "+Inf"], np.cumsum(counts), strict=True)]
        return self._family(HistogramMetricFamily, name, text, [({}, (buckets, total))])

    def collect(self):
        """Every metric, summed over the workers (called for each look at the page)."""
        total = RECORDER.totals()
        counter = CounterMetricFamily
        codes = [({"code": str(code)}, (count,)) for code, count in zip([*CODES, "other"], total["codes"], strict=True)]
        yield self._family(counter, "model_requests", "Requests for predictions, by HTTP status", codes)
        seconds, seconds_sum = total["seconds"], total["seconds_sum"][0]
        yield self._histogram("model_request_seconds", "Time in the model class", SECONDS, seconds, seconds_sum)
        yield self._histogram("model_batch_size", "Images in a request", BATCHES, total["batches"], total["images"][0])
        yield self._family(counter, _base(IMAGES_METRIC), "Images answered", [({}, (total["images"][0],))])
        classes = [({"class": str(number)}, (count,)) for number, count in enumerate(total["classes"])]
        yield self._family(counter, "model_predictions", "Images, by the class found", classes)
        for name, text, part in (
            (SUM_METRIC, "Sum over the images of a statistic of the pixels", "sums"),
            (SQUARES_METRIC, "Sum over the images of its square", "squares"),
        ):
            samples = [({"statistic": key}, (value,)) for key, value in zip(STATISTICS, total[part], strict=True)]
            # A gauge, although a sum: some statistics are below zero, and a counter may not fall.
            yield self._family(GaugeMetricFamily, name, text, samples)
        yield self._family(counter, FEEDBACK_KEY, "Feedback received", [({}, (total["feedback"][0],))])
        yield self._family(GaugeMetricFamily, FEEDBACK_REWARD_KEY, "Sum of its rewards", [({}, (total["reward"][0],))])
        yield self._family(GaugeMetricFamily, INFO_METRIC, "The run that answers", [({"run": _run()}, (1,))])


def _base(name: str) -> str:
    """A counter's name as prometheus_client takes it, which adds the `_total` itself."""
    return name.removesuffix("_total")


# ---------------------------------------------------------------------------------------------------------------
# The bundle


def bundle_directory() -> Path:
    """Where model.onnx lies: MODEL_DIR, or the folder that holds this package."""
    return Path(os.environ.get("MODEL_DIR") or Path(__file__).resolve().parent.parent)


def _stop(message: str):
    """End the start. The exit code is the one that makes gunicorn stop, where another would make it try for ever."""
    print(f"The model cannot be served: {message}", file=sys.stderr, flush=True)
    atexit.unregister(_exit_function)  # multiprocessing's, which in a worker would end the metrics page's process
    raise SystemExit(Arbiter.WORKER_BOOT_ERROR)


def _read(name: str) -> bytes:
    path = bundle_directory() / name
    try:
        return path.read_bytes()
    except OSError as error:
        _stop(f"{path}: {error.strerror}. Make the bundle with `make package`, or set MODEL_DIR to where it lies.")


def _read_json(name: str, *keys):
    """A JSON file of the bundle. The keys must be in it (in each element, when it is a list)."""
    try:
        content = json.loads(_read(name))
        for element in content if isinstance(content, list) else [content]:
            for key in keys:
                element[key]
    except (ValueError, KeyError, TypeError) as error:
        _stop(f"{bundle_directory() / name} is damaged ({type(error).__name__}: {error}). {AGAIN}")
    return content


def _run() -> str:
    """The run of this bundle, for the metrics page; the process of that page never loads the model."""
    try:
        return json.loads((bundle_directory() / "metadata.json").read_bytes())["run"]["uuid"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""


# ---------------------------------------------------------------------------------------------------------------
# The model


class DigitClassifier:
    """The class that `seldon-core-microservice` serves; its methods are those the wrapper calls."""

    def __init__(self):
        self.metadata = _read_json("metadata.json", "run", "code", "data", "metrics", "classes", "model_digest")
        self.names = self.metadata["classes"]
        self.session = None
        self.model_error_handler = error_pages()

    def load(self) -> None:
        """Open the model, in each worker, and have it give its recorded answers again. SystemExit when it cannot."""
        if multiprocessing.parent_process():  # a gRPC worker; those of REST are gunicorn's
            threading.Thread(target=_end_with_parent, daemon=True).start()
        try:
            self._load()
        except Exception as error:  # the wrapper would swallow some of these, and serve half a model
            logger.exception("load")
            _stop(f"{type(error).__name__}: {error}")

    def _load(self) -> None:
        import onnxruntime  # here: the wrapper's other processes need none of its memory

        path = bundle_directory() / "model.onnx"
        model = _read("model.onnx")
        if hashlib.sha256(model).hexdigest() != self.metadata["model_digest"]:
            _stop(f"{path} is not the file that metadata.json tells of: truncated, or changed. {AGAIN}")
        options = onnxruntime.SessionOptions()
        # One thread a worker: workers share the cores, and more threads than cores collapse under load.
        options.intra_op_num_threads = options.inter_op_num_threads = int(os.environ.get("MODEL_THREADS", "1"))
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            _stop(f"{path} is not a model that ONNX Runtime can open ({error}). {AGAIN}")
        inputs, outputs = session.get_inputs(), session.get_outputs()
        found = [(put.name, put.type, put.shape[1:]) for put in (*inputs, *outputs)]
        if found != [("image", "tensor(float)", [1, SIDE, SIDE]), ("proba", "tensor(float)", [CLASSES])]:
            wanted = f"must take image [N, 1, {SIDE}, {SIDE}] and give proba [N, {CLASSES}], both float32"
            _stop(f"{path} {wanted}; it has {found}. {AGAIN}")
        self.session = session
        self.recorded = _read_json("recorded-answers.json", "label", "pixels", "probabilities")
        if problem := self.unhealthy():
            _stop(f"{path}: {problem}. {AGAIN}")

    def classify(self, images: np.ndarray) -> np.ndarray:
        """Probabilities float32 [N, 10] of images float32 [N, 1, 28, 28], pixels 0 to 255."""
        if len(images) <= AT_ONCE:
            return self.session.run(None, {"image": images})[0]
        parts = range(0, len(images), AT_ONCE)
        return np.concatenate([self.session.run(None, {"image": images[at : at + AT_ONCE]})[0] for at in parts])

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
        images, form = read_images(message)
        probabilities = self.classify(images)
        if form == "tensor":
            data = {"names": self.names, "tensor": {"shape": probabilities.shape, "values": probabilities.ravel()}}
        else:
            data = {"names": self.names, "ndarray": probabilities}
        meta["tags"] = {**meta.get("tags", {}), **self.tags()}
        answer = orjson.dumps({"data": data, "meta": meta}, option=orjson.OPT_SERIALIZE_NUMPY)
        RECORDER.answered(images, probabilities.argmax(axis=1), time.perf_counter() - started)
        return answer

    def _predict_proto(self, message):
        started = time.perf_counter()
        images, form = self._read_proto(message)
        probabilities = self.classify(images)
        answer = prediction_pb2.SeldonMessage()
        answer.meta.CopyFrom(message.meta)
        for key, value in self.tags().items():
            answer.meta.tags[key].string_value = value
        answer.data.names.extend(self.names)
        if form == "ndarray":
            json_format.ParseDict(probabilities.tolist(), answer.data.ndarray)
        else:
            answer.data.tensor.shape.extend(probabilities.shape)
            answer.data.tensor.values.extend(probabilities.ravel().tolist())
        RECORDER.answered(images, probabilities.argmax(axis=1), time.perf_counter() - started)
        return answer

    @staticmethod
    def _read_proto(message) -> tuple:
        kind = message.WhichOneof("data_oneof")
        if kind == "binData":
            return as_images(_rows(message.binData)), "tensor"
        if kind != "data" or message.data.WhichOneof("data_oneof") not in ("tensor", "ndarray"):
            raise BadRequest('Send either "data", with "ndarray" or "tensor", or "binData".')
        if message.data.WhichOneof("data_oneof") == "ndarray":
            values = json_format.MessageToDict(message.data.ndarray)
            return as_images(_array(values, "data.ndarray")), "ndarray"
        values, shape = np.array(message.data.tensor.values), tuple(message.data.tensor.shape)
        if min(shape, default=0) < 0 or values.size != math.prod(shape):
            raise BadRequest("data.tensor.values must hold as many numbers as data.tensor.shape says.")
        return as_images(values.reshape(shape)), "tensor"

    def tags(self) -> dict:
        """Which run answers, and from which commit: in every answer's meta."""
        commit = self.metadata["code"]["commit"]
        return {"run": self.metadata["run"]["uuid"], **({"commit": commit} if commit else {})}

    def class_names(self) -> list:
        """The names of the ten probabilities, in their order."""
        return self.names

    def unhealthy(self) -> str:
        """Why the model does not give its recorded answers; empty when it does."""
        if self.session is None:
            return "the model is not loaded"
        pixels = np.array([answer["pixels"] for answer in self.recorded], dtype=np.float32)
        expected = np.array([answer["probabilities"] for answer in self.recorded])
        found = self.classify(pixels.reshape(-1, 1, SIDE, SIDE))
        if found.shape != expected.shape or not np.allclose(found, expected, rtol=0, atol=TOLERANCE):
            return "it does not give the answers in recorded-answers.json"
        return ""

    def health_status(self) -> dict:
        """For /health/status: predicts the recorded digits, and is healthy when the answers are the recorded ones."""
        if problem := self.unhealthy():
            raise ServiceUnavailable(f"Not ready: {problem}.")
        return {"status": "ready", "digits": len(self.recorded), **self.tags()}

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
            "accepts": f"data.ndarray or data.tensor as {SHAPES}; binData as N x {PIXELS} bytes; pixels 0 to 255",
        }
        return {
            "name": "digit-classifier",
            "versions": [self.metadata["run"]["uuid"]],
            "platform": "onnxruntime",
            "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 1, SIDE, SIDE]}],
            "outputs": [{"name": "proba", "datatype": "FP32", "shape": [-1, CLASSES]}],
            "custom": {key: str(value) for key, value in custom.items() if value is not None},
        }

    def send_feedback_raw(self, feedback):
        """Feedback is counted (the wrapper adds the reward to the metrics) and answered by an empty message."""
        return prediction_pb2.SeldonMessage()


# ---------------------------------------------------------------------------------------------------------------
# The wrapper's REST server


def error_pages() -> Blueprint:
    """What the wrapper's Flask application takes from us: limits, a check of each request, and errors as JSON."""
    pages = Blueprint("model_errors", __name__)

    @pages.record_once
    def limits(state):
        state.app.config["MAX_CONTENT_LENGTH"] = state.app.config["MAX_FORM_MEMORY_SIZE"] = MOST_BYTES

    pages.before_app_request(_check_request)
    pages.app_errorhandler(HTTPException)(_error_page)
    return pages


def _check_request() -> None:
    """Stop what the wrapper answers with a 500: wrong methods, types and bodies, routes of other kinds of models."""
    if request.endpoint in NOT_OURS:
        allowed = _methods(request.path)
        if request.method not in allowed:
            raise MethodNotAllowed(valid_methods=sorted(allowed - {"HEAD", "OPTIONS"})) if allowed else NotFound()
    elif request.endpoint in ("Predict", "SendFeedback") and request.method != "OPTIONS":
        _check_post()


def _methods(path: str) -> set:
    """The methods that a path of ours answers to; none when there is no such path."""
    rules = [rule for rule in current_app.url_map.iter_rules() if rule.rule == path and rule.endpoint not in NOT_OURS]
    return set().union(*(rule.methods for rule in rules)) - ({"GET", "HEAD"} if path in POST_ONLY else set())


def _check_post() -> None:
    """A body of the right type and length, before the wrapper looks at it."""
    if request.method != "POST":  # the wrapper lets some of its paths be read, too
        raise MethodNotAllowed(valid_methods=["POST"])
    if request.mimetype not in ("application/json", "application/x-www-form-urlencoded"):
        raise UnsupportedMediaType(AS_JSON)
    try:
        body = request.get_data()
    except RequestEntityTooLarge:
        _discard_body()
        raise
    except HTTPException:
        raise
    except Exception:  # gunicorn's own, for chunks that are none
        raise BadRequest("The body could not be read to its end.") from None
    if request.mimetype != "application/json":  # Seldon's own client sends the message in a form
        body = request.form.get("json")
        if not body:
            raise UnsupportedMediaType(AS_JSON)
    if request.endpoint == "SendFeedback":
        _check_feedback(body)


def _discard_body() -> None:
    """Read on to the end of a body that is too long: the caller would else see a reset connection, not our answer."""
    stream, left = request.environ["wsgi.input"], MOST_DISCARDED
    while left > 0 and (chunk := stream.read(65536)):
        left -= len(chunk)


def _check_feedback(body) -> None:
    message = read_json(body)
    try:
        feedback = json_format.ParseDict(message, prediction_pb2.Feedback())
    except Exception:  # what it raises depends on where the message is wrong
        feedback = None
    if feedback is None or not math.isfinite(feedback.reward):
        parts = '"request", "response" and "truth", Seldon messages'
        raise BadRequest(f'Feedback must be a JSON object with "reward", a number, and {parts}.')


def _error_page(error: HTTPException) -> Response:
    """An error as Seldon's JSON, counted when it answers a request for a prediction."""
    if request.path in PREDICT_PATHS:
        RECORDER.count(error.code)
    if error.code == 404:
        text = f"There is nothing here: predictions are at POST {PREDICT}."
    elif error.code == 405:
        text = f"Wrong method: allowed here is {', '.join(sorted(error.valid_methods or []))}."
    elif error.code == 413:
        limit = f"{MOST_BYTES // 2**20} MiB"
        text = f"The body is over {limit}: send fewer images in a request (up to {MOST_IMAGES}), or binData."
    else:
        text = error.description
    status = {"status": "FAILURE", "code": error.code, "reason": error.name.upper().replace(" ", "_"), "info": text}
    response = Response(orjson.dumps({"status": status}), status=error.code, mimetype="application/json")
    response.headers.extend([header for header in error.get_headers() if header[0] in ("Allow", "Retry-After")])
    return response


class DrainingWorker(gthread.ThreadWorker):
    """gunicorn's threaded worker, which on SIGTERM answers every connection that the system has accepted for it.

    The stock one leaves the connections that wait in the listening socket's queue to be reset, closes a connection
    right after an answer that promised to keep it open, and forgets a request that it read ahead. With several
    workers, this one also sees to it that each gets its share of the connections, which callers keep for long.
    """

    left_since = None  # when this worker first left a connection, that still waits, to another

    def murder_keepalived(self):
        super().murder_keepalived()
        RECORDER.hold(self.nr_conns)  # here, because it is called in every round

    def accept(self, listener):
        """Leave a connection to a worker with fewer: the one that wakes first would else take all that come at once."""
        if self.alive and RECORDER.holds_most(self.nr_conns):
            now = time.monotonic()
            self.left_since = self.left_since or now
            if now - self.left_since < PATIENCE:
                time.sleep(0.0005)
                return
        self.left_since = None
        super().accept(listener)
        RECORDER.hold(self.nr_conns)

    def set_accept_enabled(self, enabled):
        super().set_accept_enabled(enabled)
        if not self.alive and not enabled:
            self._drain()

    def _drain(self) -> None:
        """The server stops: let no connection in any more, and take those that are in."""
        listeners = [listener for listener in self.sockets if _parent_has_closed(listener)]
        for listener in listeners:
            _refuse_connections(listener)
        if listeners:
            time.sleep(0.05)  # for those that were half-way in
        for listener in listeners:
            while select.select([listener], [], [], 0)[0]:
                self.accept(listener)
            listener.close()
        self.sockets = [listener for listener in self.sockets if listener not in listeners]
        for conn in self.keepalived_conns:
            conn.timeout = min(conn.timeout, time.monotonic() + LINGER)

    def wait_for_and_dispatch_events(self, timeout):
        # Stopping, the stock worker would sleep through the end of connections that say nothing.
        super().wait_for_and_dispatch_events(timeout if self.alive else min(timeout, 0.1))

    def finish_request(self, conn, fs):
        goes_on = not fs.cancelled() and not fs.exception() and fs.result()
        if goes_on and conn.parser.unreader.buf.getvalue():
            # The next request is read already, with the rest of a body that nobody wanted: the socket will not tell.
            self.enqueue_req(conn)
        elif goes_on and not self.alive:
            # Its caller was told that the connection stays open: the next request on it will be told otherwise.
            conn.sock.setblocking(False)
            conn.timeout = time.monotonic() + LINGER
            self.keepalived_conns.append(conn)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_client_socket_readable, conn))
        else:
            super().finish_request(conn, fs)


def _parent_has_closed(listener) -> bool:
    """Whether gunicorn's master has given up this socket, because the server stops, and not this worker alone.

    It closes the socket before it tells the workers; when all were told at once, that takes a moment. Without /proc
    the answer is no, and the worker ends as the stock one does.
    """
    name = f"socket:[{os.fstat(listener.fileno()).st_ino}]"
    folder = Path("/proc", str(os.getppid()), "fd")
    for _ in range(20):
        try:
            held = {os.readlink(file) for file in folder.iterdir()}
        except FileNotFoundError:  # a file it closed while we looked, or no /proc
            if not folder.is_dir():
                return False
            continue
        except OSError:
            return False
        if name not in held:
            return True
        time.sleep(0.01)
    return False


def _refuse_connections(listener) -> None:
    """Let no new connection into a listening socket (Linux): drop the packets that ask for one.

    A socket filter in the kernel's classic BPF, which needs no privilege: byte 13 of the TCP header holds the flags,
    2 is SYN. Callers try again a second later, and are then refused because the socket is closed.
    """
    load_byte, jump_if_set, answer = 0x30, 0x45, 0x06
    steps = [(load_byte, 0, 0, 13), (jump_if_set, 0, 1, 2), (answer, 0, 0, 0), (answer, 0, 0, 0xFFFFFFFF)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    attach_filter = 26  # SO_ATTACH_FILTER, which the socket module does not name
    try:
        listener.setsockopt(socket.SOL_SOCKET, attach_filter, struct.pack("HP", len(steps), ctypes.addressof(code)))
    except OSError as error:
        logger.warning("Connections may be lost while the server stops: %s", error)


# ---------------------------------------------------------------------------------------------------------------
# The wrapper's gRPC server, when GRPC_WORKERS asks for one


def _end_grpc(started_by: int) -> None:
    """The REST server has ended: end gRPC too, for which the wrapper would wait for ever."""
    if os.getpid() == started_by:  # and not in a worker, which inherits this
        for child in multiprocessing.active_children():
            child.terminate()


def _end_with_parent() -> None:
    """End this gRPC worker when the process that started it has ended: SIGINT is what the wrapper listens to."""
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGINT)


def tune_wrapper() -> None:
    """Make the wrapper hand us a request's bytes, keep metrics in RECORDER, need no disk, and end losing no request.

    Each is a name that is looked up when the server starts, and that must not depend on how it was started.
    tests/test_serving.py and tests/test_serving_faults.py fail when a release no longer looks there.
    """
    if os.access("/dev/shm", os.W_OK):
        tempfile.tempdir = "/dev/shm"  # gunicorn's heartbeat files, in memory: a disk may be full or read-only
    atexit.register(_end_grpc, os.getpid())
    seldon_core.wrapper.PAYLOAD_PASSTHROUGH = True
    gthread.ThreadWorker = DrainingWorker
    for module in (seldon_core.microservice, sys.modules["__main__"]):  # the latter with `python -m seldon_core...`
        if getattr(module, "SeldonMetrics", None) is SeldonMetrics:
            module.SeldonMetrics = PageMetrics


tune_wrapper()
