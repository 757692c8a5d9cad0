"""Metrics for Prometheus: requests, answers, statistics of the inputs, and those of the model's own `metrics()`."""

import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import prometheus_client
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

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
    """Metrics of models and routers. seldon-core's gRPC server calls `update` and `update_reward`, too."""

    def __init__(self) -> None:
        prometheus_client.disable_created_metrics()
        self.requests = Counter("model_requests", "Requests for predictions, by HTTP status", ["code"])
        self.requests.labels(200)
        self.feedback = Counter(FEEDBACK, "Feedback received")
        self.reward = Gauge(f"{FEEDBACK}_reward", "Sum of its rewards")
        self._own: dict[str, Any] = {}
        self._lock = threading.Lock()

    def update(self, metrics: list[dict], method: str = "") -> None:
        """Take the metrics that a model's own `metrics()` returned; a TIMER is in milliseconds."""
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
    """A model with its answers counted; they are described once enough are pending, or the page is asked for."""

    def __init__(self, model: Any) -> None:
        self.model, self._lock = model, threading.Lock()
        self._pending: list[tuple[np.ndarray, Any]] = []
        self._waiting = self._examples = 0
        self._sums, self._squares = np.zeros((2, len(model.schema.inputs.statistics)))
        self._found = np.zeros(len(model.class_names()))
        self._seconds = Histogram("model_request_seconds", "Time in the model class", buckets=SECONDS)
        self._sizes = Histogram("model_batch_size", "Examples in a request", buckets=SIZES)
        trained = Gauge(TRAINING, "Of the training inputs", ["statistic", "moment"])
        for statistic, moments in model.metadata["training_inputs"]["statistics"].items():
            for moment, value in moments.items():
                trained.labels(statistic, moment).set(value)
        Gauge(INFO, "The run that answers", ["run"]).labels(model.metadata["run"]["uuid"]).set(1)
        prometheus_client.REGISTRY.register(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def predict(self, X, names=None, meta=None):
        """Read a request's values and have the model answer them."""
        began = time.perf_counter()
        inputs = self.model.read(X, names)
        answers = self.model.predict(inputs, names, meta)
        self._seconds.observe(time.perf_counter() - began)
        self._sizes.observe(len(inputs))
        with self._lock:
            self._pending.append((inputs, answers))
            self._waiting += len(inputs)
            if self._waiting >= PENDING:
                self._count()
        return answers

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics for Prometheus, those of pending answers too."""
        with self._lock:
            self._count()
        names, statistics = self.model.class_names(), self.model.schema.inputs.statistics
        yield CounterMetricFamily(EXAMPLES, "Examples answered", self._examples)
        # Gauges, although sums: some statistics are below zero, and a counter may not fall.
        sums = GaugeMetricFamily(SUM, "Sum of a statistic over the inputs", labels=["statistic"])
        squares = GaugeMetricFamily(SQUARES, "Sum of its square over the inputs", labels=["statistic"])
        found = CounterMetricFamily("model_predictions", "Examples, by the class found", labels=["class"])
        yield _filled(sums, statistics, self._sums)
        yield _filled(squares, statistics, self._squares)
        if len(names) > 1:  # a number is no class
            yield _filled(found, names, self._found)

    def _count(self) -> None:
        if not self._pending:
            return
        inputs, answers = zip(*self._pending, strict=True)
        self._pending, self._waiting = [], 0
        statistics = self.model.schema.inputs.describe(np.concatenate(inputs))
        self._examples += len(statistics)
        self._sums += statistics.sum(axis=0)
        self._squares += np.square(statistics).sum(axis=0)
        width = len(self._found)
        if width > 1 and all(np.shape(each)[1:] == (width,) for each in answers):
            self._found += np.bincount(np.concatenate(answers).argmax(axis=1), minlength=width)


def _filled(family: Any, labels: Iterable[str], values: np.ndarray) -> Metric:
    for label, value in zip(labels, values, strict=True):
        family.add_metric([label], value)
    return family
