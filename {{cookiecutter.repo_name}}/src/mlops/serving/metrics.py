"""What the server counts, for Prometheus: requests, answers, statistics of the inputs, and a model's own metrics."""

import logging
import os
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
PENDING = 32  # examples that are described at a time: as fast as one
DEPLOYMENT = {  # labels of model_info, and the variables that Seldon's operator sets
    "deployment_name": "SELDON_DEPLOYMENT_ID", "predictor_name": "PREDICTOR_ID", "model_name": "PREDICTIVE_UNIT_ID",
}  # fmt: skip

logger = logging.getLogger(__name__)


class Metrics:
    """Every metric but those of the inputs; `update` and `update_reward` are what Seldon's gRPC server calls, too."""

    def __init__(self) -> None:
        prometheus_client.disable_created_metrics()
        self.requests = Counter("model_requests", "Requests for predictions, by HTTP status", ["code"])
        self.feedback = Counter(FEEDBACK, "Feedback received")
        self.reward = Gauge(f"{FEEDBACK}_reward", "Sum of its rewards")
        self._own: dict[str, Any] = {}
        for code in (200, 400, 413, 503):
            self.requests.labels(code)

    def update(self, metrics: list[dict], method: str = "") -> None:
        """Take what a model's `metrics()` gave."""
        try:
            for metric in metrics:
                tags = metric.get("tags") or {}
                if metric["key"] not in self._own:
                    kind = {"COUNTER": Counter, "GAUGE": Gauge, "TIMER": Histogram}[metric["type"]]
                    self._own[metric["key"]] = kind(metric["key"], "Of the model's own metrics()", list(tags))
                of_tags = self._own[metric["key"]]
                one = of_tags.labels(**tags) if tags else of_tags
                take = {"COUNTER": "inc", "GAUGE": "set", "TIMER": "observe"}[metric["type"]]
                getattr(one, take)(metric["value"] / 1000 if metric["type"] == "TIMER" else metric["value"])
        except Exception:  # the answer is right all the same
            logger.exception("metrics() of the model")

    def update_reward(self, reward: float) -> None:
        self.feedback.inc()
        self.reward.inc(reward)


class Measured(Collector):
    """A model whose answers are counted; it also gives the metrics of its inputs."""

    def __init__(self, model) -> None:
        self.model, self.inputs = model, model.schema.inputs
        self.seconds = Histogram("model_request_seconds", "Time in the model class", buckets=SECONDS)
        self.batch = Histogram("model_batch_size", "Examples in a request", buckets=[2**power for power in range(11)])
        self._lock = threading.Lock()
        self._pending: list[tuple[np.ndarray, Any]] = []
        self._waiting = self._examples = 0
        self._classes = np.zeros(len(model.class_names()))
        self._sums, self._squares = np.zeros((2, len(self.inputs.statistics)))
        prometheus_client.REGISTRY.register(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def predict(self, X, names=None, meta=None):
        """Read a request's payload and have the model answer it."""
        began = time.perf_counter()
        inputs = self.model.read(X, names or [])
        answers = self.model.predict(inputs, names, meta)
        self.seconds.observe(time.perf_counter() - began)
        self.batch.observe(len(inputs))
        with self._lock:
            self._pending.append((inputs, answers))
            self._waiting += len(inputs)
            if self._waiting >= PENDING:
                self._count()
        return answers

    def _count(self) -> None:
        """Count the answers that are pending."""
        pending, self._pending, self._waiting = self._pending, [], 0
        if not pending:
            return
        found = self.inputs.describe(np.concatenate([inputs for inputs, _ in pending]))
        self._examples += len(found)
        self._sums += found.sum(axis=0)
        self._squares += np.square(found).sum(axis=0)
        for _, answers in pending:
            if getattr(answers, "ndim", 0) == 2 and answers.shape[1] == len(self._classes) > 1:
                self._classes += np.bincount(answers.argmax(axis=1), minlength=len(self._classes))

    def collect(self):
        with self._lock:
            self._count()
            examples, classes, sums, squares = self._examples, *map(np.copy, (self._classes, self._sums, self._squares))
        yield CounterMetricFamily(EXAMPLES, "Examples answered", examples)
        if len(classes) > 1:  # a number is no class
            yield _family(CounterMetricFamily, "model_predictions", "Examples, by the class found", "class",
                          zip(self.model.class_names(), classes, strict=True))  # fmt: skip
        # Gauges, although sums: some statistics are below zero, and a counter may not fall.
        for name, values in ((SUM, sums), (SQUARES, squares)):
            text = "Sum over the examples of a statistic of the inputs, or of its square"
            yield _family(GaugeMetricFamily, name, text, "statistic", zip(self.inputs.statistics, values, strict=True))
        training = GaugeMetricFamily(TRAINING, "The statistics of the training inputs", labels=["statistic", "moment"])
        for name, moments in self.model.metadata["training_inputs"]["statistics"].items():
            for moment, value in moments.items():
                training.add_metric([name, moment], value)
        yield training
        info = GaugeMetricFamily(INFO, "The run that answers, and where", labels=["run", *DEPLOYMENT])
        info.add_metric([self.model.metadata["run"]["uuid"], *(os.environ.get(name, "") for name in DEPLOYMENT.values())], 1)
        yield info


def _family(kind: Any, name: str, text: str, label: str, values) -> Any:
    family = kind(name, text, labels=[label])
    for key, value in values:
        family.add_metric([key], value)
    return family
