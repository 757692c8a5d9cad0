"""What the server counts, for Prometheus: requests, answers, statistics of the inputs, and a model's own metrics."""

import threading
import time
from typing import Any

import numpy as np
import prometheus_client
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

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


class Measured(Collector):
    """A model with its answers counted."""

    def __init__(self, model: Any) -> None:
        self.model, self.inputs = model, model.schema.inputs
        self.seconds = Histogram("model_request_seconds", "Time in the model class", buckets=SECONDS)
        self.sizes = Histogram("model_batch_size", "Examples in a request", buckets=SIZES)
        self._lock = threading.Lock()
        self._pending: list[tuple[np.ndarray, Any]] = []
        self._found = np.zeros(len(model.class_names()))
        self._examples = self._waiting = 0
        self._sums, self._squares = np.zeros((2, len(self.inputs.statistics)))
        prometheus_client.REGISTRY.register(self)

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

    def _count(self) -> None:
        """Count the answers that are pending."""
        if not self._pending:
            return
        inputs, answers = zip(*self._pending, strict=True)
        self._pending, self._waiting = [], 0
        statistics = self.inputs.describe(np.concatenate(inputs))
        self._examples += len(statistics)
        self._sums += statistics.sum(axis=0)
        self._squares += np.square(statistics).sum(axis=0)
        if all(np.shape(each)[1:] == self._found.shape for each in answers):
            self._found += np.bincount(np.concatenate(answers).argmax(axis=1), minlength=len(self._found))

    def collect(self):
        with self._lock:
            self._count()
            yield _family(CounterMetricFamily, EXAMPLES, "Examples answered", [], {(): self._examples})
            if len(self._found) > 1:  # a number is no class
                found = {(name,): count for name, count in zip(self.model.class_names(), self._found, strict=True)}
                yield _family(
                    CounterMetricFamily, "model_predictions", "Examples, by the class found", ["class"], found
                )
            # Gauges, although sums: some statistics are below zero, and a counter may not fall.
            for name, text, values in ((SUM, "a statistic", self._sums), (SQUARES, "its square", self._squares)):
                sums = {(key,): value for key, value in zip(self.inputs.statistics, values, strict=True)}
                yield _family(GaugeMetricFamily, name, f"Sum of {text} over the inputs", ["statistic"], sums)
        trained = self.model.metadata["training_inputs"]["statistics"].items()
        moments = {(name, moment): value for name, moments in trained for moment, value in moments.items()}
        yield _family(GaugeMetricFamily, TRAINING, "Of the training inputs", ["statistic", "moment"], moments)
        run = self.model.metadata["run"]["uuid"]
        yield _family(GaugeMetricFamily, INFO, "The run that answers", ["run"], {(run,): 1})


def _family(kind: Any, name: str, text: str, labels: list[str], values: dict[Any, Any]) -> Any:
    family = kind(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family
