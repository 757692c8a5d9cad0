"""What the server counts, for Prometheus: requests, answers, statistics of the inputs, and a model's own metrics."""

import threading
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import prometheus_client
from prometheus_client import Counter, Gauge, Histogram

# `mlops.drift` reads these
EXAMPLES = "model_examples_total"
SUM = "model_input_statistic_total"
SQUARES = "model_input_statistic_squares_total"
TRAINING = "model_training_statistic"  # the mean and the sd over the training inputs
INFO = "model_info"

FEEDBACK = "seldon_api_model_feedback"
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
PENDING = 32  # examples that are described at a time: almost as fast as one
KINDS = {"COUNTER": (Counter, "inc"), "GAUGE": (Gauge, "set"), "TIMER": (Histogram, "observe")}  # Seldon's


class Metrics:
    """Metrics of models and routers. `update` and `update_reward` are what seldon-core's gRPC server calls."""

    def __init__(self) -> None:
        prometheus_client.disable_created_metrics()
        self.requests = Counter("model_requests", "Requests for predictions, by HTTP status", ["code"])
        self.requests.labels(200)
        self.feedback = Counter(FEEDBACK, "Feedback received")
        self.reward = Gauge(f"{FEEDBACK}_reward", "Sum of its rewards")
        self._own: dict[str, Any] = {}
        self._lock = threading.Lock()

    def update(self, metrics: list[dict], method: str = "") -> None:
        """Take what a model's own `metrics()` gave; a TIMER is in milliseconds."""
        for metric in metrics:
            key, tags = metric["key"], metric.get("tags") or {}
            kind, take = KINDS[metric["type"]]
            with self._lock:
                if key not in self._own:
                    self._own[key] = kind(key, "From metrics() of the model", list(tags))
            one = self._own[key].labels(**tags) if tags else self._own[key]
            getattr(one, take)(metric["value"] / 1000 if kind is Histogram else metric["value"])

    def update_reward(self, reward: float) -> None:
        self.feedback.inc()
        self.reward.inc(reward)


class Measured:
    """A model with its answers counted; their statistics follow when enough are pending, or the page is asked for."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._lock = threading.Lock()
        self._pending: list[tuple[np.ndarray, Any]] = []
        self._waiting = 0
        prometheus_client.REGISTRY.register(self)  # before the others: `collect` brings them up to date
        statistics, names = model.schema.inputs.statistics, model.class_names()
        self.seconds = Histogram("model_request_seconds", "Time in the model class", buckets=SECONDS)
        self.sizes = Histogram("model_batch_size", "Examples in a request", buckets=SIZES)
        self.examples = Counter(EXAMPLES, "Examples answered")
        # Gauges, although sums: some statistics are below zero, and a counter may not fall.
        self.sums = _each(Gauge(SUM, "Sum of a statistic over the inputs", ["statistic"]), statistics)
        self.squares = _each(Gauge(SQUARES, "Sum of its square over the inputs", ["statistic"]), statistics)
        if len(names) > 1:  # a number is no class
            self.found = _each(Counter("model_predictions", "Examples, by the class found", ["class"]), names)
        trained = Gauge(TRAINING, "Of the training inputs", ["statistic", "moment"])
        for statistic, moments in model.metadata["training_inputs"]["statistics"].items():
            for moment, value in moments.items():
                trained.labels(statistic, moment).set(value)
        Gauge(INFO, "The run that answers", ["run"]).labels(model.metadata["run"]["uuid"]).set(1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def predict(self, X, names=None, meta=None):
        """Read what a request holds and have the model answer it."""
        began = time.perf_counter()
        inputs = self.model.read(X, names)
        answers = self.model.predict(inputs, names, meta)
        self.seconds.observe(time.perf_counter() - began)
        self.sizes.observe(len(inputs))
        with self._lock:
            self._pending.append((inputs, answers))
            self._waiting += len(inputs)
            if self._waiting >= PENDING:
                self._count()
        return answers

    def collect(self) -> Iterable:
        """Count what is pending; the metrics themselves are registered, too."""
        with self._lock:
            self._count()
        return ()

    def _count(self) -> None:
        if not self._pending:
            return
        inputs, answers = zip(*self._pending, strict=True)
        self._pending, self._waiting = [], 0
        statistics = self.model.schema.inputs.describe(np.concatenate(inputs))
        self.examples.inc(len(statistics))
        _add(self.sums, statistics.sum(axis=0))
        _add(self.squares, np.square(statistics).sum(axis=0))
        width = len(self.model.class_names())
        if width > 1 and all(np.shape(each)[1:] == (width,) for each in answers):
            _add(self.found, np.bincount(np.concatenate(answers).argmax(axis=1), minlength=width))


def _each(metric: Any, labels: Iterable[str]) -> list[Any]:
    return [metric.labels(label) for label in labels]


def _add(metrics: list[Any], values: np.ndarray) -> None:
    for metric, value in zip(metrics, values, strict=True):
        metric.inc(value)
