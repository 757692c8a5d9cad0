"""Around a training loop: the run's record, checkpoints, resuming, several processes, progress.

The team's `training.train(job)` is the loop. It asks its Job for epochs and batches, and tells it of each epoch's end.
"""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from . import dataset as datasets
from . import distributed, lineage, processes, runs, tracking
from .dataset import Dataset
from .errors import Stopped, UserError
from .files import atomic_file
from .record import Record
from .schema import Schema
from .team import Code

ANSWERED = 1000  # validation examples at a time


@dataclass(frozen=True)
class Split:
    """Inputs [N, *shape] as they are and targets [N], whole in the device's memory."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)


class Job:
    """One training, as the loop sees it.

    Attributes:
        schema: what goes in and what comes out.
        hyperparameters: the team's, as they were asked for.
        network: made by the team's `build(schema)`, on the device, fitted on the training inputs.
        parallel: the same network to compute gradients with: of several processes these are the mean over all.
        train, validation, test: the splits.
    """

    def __init__(self, code: Code, dataset: Dataset, hyperparameters: Any, record: Record | None) -> None:
        self.schema: Schema = dataset.schema
        self.hyperparameters = hyperparameters
        device = _device()
        self.train, self.validation, self.test = (_on_device(dataset, name, device) for name in datasets.SPLITS)
        torch.manual_seed(hyperparameters.seed)
        self.network: nn.Module = code.model.build(dataset.schema).to(device).to(memory_format=torch.channels_last)
        if hasattr(self.network, "fit"):
            self.network.fit(self.train.inputs, self.train.targets)
        self.parallel = distributed.parallel(self.network)
        self.epoch = self.step = 0
        self.epochs_in_all = self.steps_in_all = 0
        self.history: list[dict[str, float]] = []  # of each epoch, its metrics
        self.ended: list[float] = []  # of each epoch, when it ended: seconds since 1970
        self._record = record
        self._state: dict[str, Any] = {}
        self._batch_size = 0
        self._loss, self._seen = torch.zeros((), device=device), 0  # of this epoch: sum over the examples, and how many
        self._mine = self._rows = 1  # examples of this batch: this process's, and all
        self._began = 0.0

    def plan(self, epochs: int, batch_size: int, at_most: int = 0) -> int:
        """Say how long to train; return the number of steps in all. `at_most` bounds them; 0 bounds nothing."""
        self._batch_size, self.epochs_in_all = batch_size, epochs
        steps = epochs * math.ceil(len(self.train) / batch_size)
        self.steps_in_all = min(steps, at_most or steps)
        return self.steps_in_all

    def keep(self, **parts: Any) -> None:
        """Keep these in the checkpoints beside the network: optimizer, schedule. A resumed run restores them."""
        self._state = {name: part for name, part in parts.items() if part is not None}
        if self._record:
            self._record.begin(self)

    def epochs(self) -> Iterator[int]:
        """Yield the number of each epoch that is left, from 1."""
        while self.step < self.steps_in_all:
            self._began = time.perf_counter()
            self._loss, self._seen = torch.zeros_like(self._loss), 0
            yield self.epoch + 1

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and targets of the training split in a new order; of several processes each gets its share."""
        device = self.train.targets.device
        order = distributed.broadcast_from_rank0(torch.randperm(len(self.train)).to(device))
        for rows in order.split(self._batch_size):
            if self.step >= self.steps_in_all:
                return
            if self._record:
                self._record.check_signals()
            mine = distributed.share(rows)
            self._mine, self._rows = len(mine), len(rows)
            mine = mine if self._mine else rows[:1]  # a share of nothing still takes the step, and counts for nothing
            yield self.train.inputs[mine], self.train.targets[mine]
            self.step += 1
            if self._record:
                self._record.bar.update()

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients of a batch's mean loss; of several processes, of the mean over the whole batch."""
        weight = self._mine * distributed.processes() / self._rows
        (loss if weight == 1 else loss * weight).backward()
        self._loss += loss.detach() * self._mine
        self._seen += self._rows

    def end_epoch(self, **metrics: float) -> None:
        """Record an epoch's metrics, with its mean training loss, and save a checkpoint."""
        self.epoch += 1
        loss = (distributed.total(self._loss) / self._seen).item()
        self.history.append({"loss": loss, **{name: float(value) for name, value in metrics.items()}})
        self.ended.append(time.time())
        if self._record:
            self._record.end_epoch(self, time.perf_counter() - self._began)

    @torch.inference_mode()
    def answers(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the network's answers to the validation split, and the targets [N]: numbers of classes, or numbers."""
        self.network.eval()
        outputs = torch.cat([self.network(inputs) for inputs in self.validation.inputs.split(ANSWERED)])
        answers = outputs.argmax(1) if self.schema.outputs.kind == "classes" else outputs[:, 0]
        return answers.cpu().numpy(), self.validation.targets.cpu().numpy()

    def save(self, path: Path) -> None:
        """Write a checkpoint: all that the run needs to go on."""
        state = {
            "network": self.network.state_dict(),
            "parts": {name: part.state_dict() for name, part in self._state.items()},
            "random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state_all(),
            "epoch": self.epoch,
            "step": self.step,
            "history": self.history,
            "ended": self.ended,
        }
        with atomic_file(path) as draft:
            torch.save(state, draft)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path, weights_only=True, map_location=self.train.targets.device)
        self.network.load_state_dict(state["network"])
        for name, part in self._state.items():
            part.load_state_dict(state["parts"][name])
        torch.set_rng_state(state["random"].cpu())
        if state["cuda_random"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all([random.cpu() for random in state["cuda_random"]])
        self.epoch, self.step = state["epoch"], state["step"]
        self.history = state["history"]
        self.ended = state.get("ended") or [time.time()] * len(self.history)  # earlier releases kept no times


def train(
    code: Code,
    hyperparameters: Any = None,
    data_file: Path = datasets.FILE,
    name: str = "train",
    bucket: str | None = None,
    resume: str | None = None,
    distributed_job: bool = False,
    echo: Callable[[str], None] = tqdm.write,
) -> str | None:
    """Train one model as one recorded run, or go on with one that was stopped; return the run's uuid.

    Of several processes that train together the first records the run; the others give None.

    Args:
        hyperparameters: the team's; None with `resume`, which goes on with the run's own.
        bucket: of Google Cloud Storage, to copy the model to.
        resume: the uuid of a run that was stopped or killed, or its beginning.

    Raises:
        UserError: there is no data, there are no credentials for the bucket, or the run cannot be resumed.
        Stopped: a signal to end came; the run is recorded as stopped.
    """
    dataset = datasets.load(data_file)
    run = _resumable(resume, code, dataset) if resume else None
    if run:
        names = {item.name for item in fields(code.training.Hyperparameters)} & run.inputs.keys()
        hyperparameters = code.training.Hyperparameters(**{name: run.inputs[name] for name in names})
    with distributed.group(distributed_job):
        if distributed.rank() > 0:
            code.training.train(Job(code, dataset, hyperparameters, record=None))
            return None
        target = None
        if bucket:
            target = _bucket(bucket)
        with ExitStack() as held:
            if run:
                held.enter_context(tracking.exclusive_lock(run.folder))
                tracking.forget_metrics(run.folder)
            tracked = tracking.start(run.name if run else name, resume=run.uuid if run else None)
            if not run:
                held.enter_context(tracking.exclusive_lock(Path(tracked.get_artifacts_path())))
                tracked.log_inputs(**_inputs(code, dataset, hyperparameters))
                tracking.save(tracked)
            _train(code, dataset, hyperparameters, tracked, run.checkpoint if run else None, target, echo)
            return tracked.run_uuid


def _bucket(name: str):
    try:
        from .artifacts import Bucket  # Google's libraries, only where they are needed
    except ImportError:
        install = f"sh src/mlops/platform/install.sh {sys.executable} bucket"
        raise UserError(f"Google's library for buckets is not installed. Type: {install}") from None
    return Bucket(name)


def _resumable(uuid: str, code: Code, dataset: Dataset) -> runs.Run:
    run = runs.find(uuid)
    again = "Start a new one with: make train"
    if run.status == "succeeded":
        raise UserError(f"Run {run.uuid} has finished; there is nothing to resume.")
    if not run.inputs:
        raise UserError(f"Run {run.uuid} cannot be resumed: its record is damaged. {again}")
    if not run.checkpoint.is_file():
        raise UserError(f"Run {run.uuid} stopped before its first whole epoch. {again}")
    now = lineage.of_now(code.package, dataset.origin)
    changed = [key for key in runs.COMPARED if run.inputs.get(key) != now[key]]
    if changed:
        raise UserError(f"Run {run.uuid} cannot be resumed: {', '.join(changed)} changed since. {again}")
    return run


def _train(code: Code, dataset: Dataset, hyperparameters: Any, tracked, checkpoint, bucket, echo) -> None:
    # Polyaxon marks a run as succeeded when the process ends, however it ends: what went wrong must be said before.
    with processes.collected_signals() as caught:
        try:
            with Record(tracked, checkpoint, caught, echo) as record:
                job = Job(code, dataset, hyperparameters, record)
                code.training.train(job)
                record.check_signals()
                evaluated = code.training.evaluate(job.network, job.test, job.schema)
                record.finish(job, evaluated, bucket)
        except Stopped as stopped:
            tracked.log_stopped(reason="Signal", message=str(stopped))
            raise
        except Exception as error:
            tracked.log_failed(reason=type(error).__name__, message=str(error)[:500])
            raise
        finally:
            tracked.end()


def _inputs(code: Code, dataset: Dataset, hyperparameters: Any) -> dict[str, Any]:
    commit, dirty = lineage.commit(code.package.parents[1])
    now = lineage.of_now(code.package, dataset.origin)
    return asdict(hyperparameters) | now | {
        "defaults": hyperparameters == code.training.hyperparameters(),
        "mlops_digest": lineage.mlops_digest(), "commit": commit, "dirty": dirty,
        "examples": ", ".join(f"{count} {name}" for name, count in dataset.counts.items()),
        "libraries": ", ".join(f"{name} {version}" for name, version in lineage.libraries().items()),
    }  # fmt: skip


def _device() -> torch.device:
    # One thread, whatever OMP_NUM_THREADS says: sums are then added in the same order on every machine, and a busy
    # machine does not stall the network, which is too small to gain much from more.
    torch.set_num_threads(1)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _on_device(dataset: Dataset, split: str, device: torch.device) -> Split:
    examples = dataset.splits[split]
    return Split(torch.from_numpy(examples.inputs).to(device), torch.from_numpy(examples.targets).to(device))
