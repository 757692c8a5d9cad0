"""The wrapper's metrics page without its price: counts in memory that all processes of the server share.

A metric of your own takes columns in `_columns`, a line in a method of Recorder, and a line in `PageMetrics.collect`.
"""

import bisect
import fcntl
import logging
import mmap
import os
import threading

import numpy as np
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from seldon_core.metrics import DEFAULT_LABELS, FEEDBACK_KEY, FEEDBACK_REWARD_KEY, SeldonMetrics

from .. import schema as schemas
from ..errors import UserError
from .bundle_files import METADATA, read_metadata, served_bundle
from .metric_names import EXAMPLES, INFO, SQUARES, SUM, TRAINING

logger = logging.getLogger(__name__)

CODES = (200, 400, 405, 413, 415, 500)
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
PENDING = 32  # examples answered and not counted yet, with which a worker no longer waits for a quiet moment
WORKERS = 64  # rows, so workers that can be alive at once


def _columns(classes: int, statistics: int) -> dict[str, int]:
    """How many numbers of a row belong to what."""
    return {
        "owner": 1,
        "connections": 1,
        "codes": len(CODES) + 1,
        "seconds": len(SECONDS) + 1,
        "seconds_sum": 1,
        "batches": len(BATCHES) + 1,
        "examples": 1,
        "classes": classes,
        "sums": statistics,
        "squares": statistics,
        "feedback": 1,
        "reward": 1,
    }


class Recorder:
    """The counts of all workers of this server, in anonymous shared memory: no file, no lock between processes.

    Made before the wrapper forks, so that every process has it. Each worker takes a row of its own and is its only
    writer; a worker that ends leaves its counts, and the next one goes on from them.
    """

    def __init__(self):
        self.metadata = read_metadata(served_bundle())
        try:
            self.schema = schemas.from_dict(self.metadata["schema"], METADATA)
        except (UserError, KeyError, TypeError):  # the model's start says what is wrong with its bundle
            self.schema = None
        self.classes = self.schema.outputs.names if self.schema else []
        self.statistics = list(self.schema.inputs.statistics) if self.schema else []
        columns = _columns(len(self.classes), len(self.statistics))
        width = sum(columns.values())
        self._memory = mmap.mmap(-1, WORKERS * width * 8)
        self._rows = np.frombuffer(self._memory, dtype=np.float64).reshape(WORKERS, width)
        self._part: dict[str, slice] = {}
        start = 0
        for name, size in columns.items():
            self._part[name] = slice(start, start + size)
            start += size
        self._threads = threading.Lock()
        self._pid: int | None = None
        self._row: dict[str, np.ndarray] = {}
        self._pending: list[tuple[np.ndarray, np.ndarray, float]] = []
        self._examples = 0
        self.deferred = False  # whether this process calls `flush` in its quiet moments

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
        self.flush()
        if self._pid == os.getpid():
            self._row["owner"][0] = 0
            self._pid = None

    def count(self, code: int) -> None:
        """A request for a prediction was answered with this HTTP status."""
        with self._threads:
            self._own()["codes"][CODES.index(code) if code in CODES else -1] += 1

    def answered(self, inputs: np.ndarray, classes: np.ndarray, seconds: float) -> None:
        """Inputs [N, *shape] were found to be of these classes [N] in this time."""
        with self._threads:
            self._pending.append((inputs, classes, seconds))
            self._examples += len(inputs)
        if self._examples >= PENDING or not self.deferred:
            self.flush()

    def flush(self) -> None:
        """Count what was answered: all at once, because the statistics of ten examples take as long as those of one."""
        with self._threads:
            pending, self._pending, self._examples = self._pending, [], 0
            try:
                if pending:
                    self._count_answers(*zip(*pending, strict=True))
            except Exception:  # a fault here must not end the worker, which has answered
                logger.exception("metrics")

    def _count_answers(self, inputs: tuple, classes: tuple, seconds: tuple) -> None:
        found = self.schema.inputs.describe(np.concatenate(inputs))
        own = self._own()
        own["codes"][0] += len(inputs)
        own["seconds_sum"] += sum(seconds)
        for part, bounds, values in (("seconds", SECONDS, seconds), ("batches", BATCHES, map(len, inputs))):
            for value in values:
                own[part][bisect.bisect_left(bounds, value)] += 1
        own["examples"] += len(found)
        own["classes"] += np.bincount(np.concatenate(classes), minlength=len(self.classes))
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
    see above for how to add one.
    """

    def __init__(self, worker_id_func=os.getpid, extra_default_labels=None):
        self._labels = {**DEFAULT_LABELS, **(extra_default_labels or {})}
        self.run = ""

    def __del__(self):
        pass  # there is no manager to shut down

    def update(self, custom_metrics, method):
        for metric in custom_metrics:
            logger.error("Metric %s is not kept: mlops/serving/metrics.py says how to add one", metric.get("key"))

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
        yield self._histogram("model_batch_size", "Examples in a request", BATCHES, total["batches"], total["examples"][0])
        yield self._family(counter, _base(EXAMPLES), "Examples answered", [({}, (total["examples"][0],))])
        yield self._family(counter, FEEDBACK_KEY, "Feedback received", [({}, (total["feedback"][0],))])
        yield self._family(GaugeMetricFamily, FEEDBACK_REWARD_KEY, "Sum of its rewards", [({}, (total["reward"][0],))])
        if RECORDER.schema:
            yield from self._of_the_model(total)

    def _of_the_model(self, total: dict):
        """What there is to say of a model alone: its classes, its inputs, its run."""
        classes = [({"class": name}, (count,)) for name, count in zip(RECORDER.classes, total["classes"], strict=True)]
        yield self._family(CounterMetricFamily, "model_predictions", "Examples, by the class found", classes)
        for name, text, part in (
            (SUM, "Sum over the examples of a statistic of the inputs", "sums"),
            (SQUARES, "Sum over the examples of its square", "squares"),
        ):
            found = zip(RECORDER.statistics, total[part], strict=True)
            # A gauge, although a sum: some statistics are below zero, and a counter may not fall.
            yield self._family(GaugeMetricFamily, name, text, [({"statistic": key}, (value,)) for key, value in found])
        run = [({"run": RECORDER.metadata["run"]["uuid"]}, (1,))]
        yield self._family(GaugeMetricFamily, INFO, "The run that answers", run)
        samples = [
            ({"statistic": name, "moment": moment}, (value,))
            for name, moments in RECORDER.metadata["training_inputs"]["statistics"].items()
            for moment, value in moments.items()
        ]
        yield self._family(GaugeMetricFamily, TRAINING, "The statistics of the training inputs", samples)


def _base(name: str) -> str:
    """A counter's name as prometheus_client takes it, which adds the `_total` itself."""
    return name.removesuffix("_total")
