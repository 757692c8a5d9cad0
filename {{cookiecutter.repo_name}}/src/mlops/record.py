"""Record a training's progress: in Polyaxon's run, TensorBoard's event files, checkpoints, and on the terminal."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from . import runs
from .errors import Stopped
from .files import atomic_file
from .runs import SCORE

if TYPE_CHECKING:
    from .trainer import Job

TOLD = 10  # epochs at least that are told of
TENSORBOARD = "tensorboard"  # the folder of event files among a run's outputs


class Record:
    """The record of a job's progress."""

    def __init__(self, tracked, checkpoint: Path | None, caught: list[int], echo: Callable[[str], None]) -> None:
        self.tracked, self.echo = tracked, echo
        self.outputs = Path(tracked.get_artifacts_path()) / "outputs"
        self.bar = tqdm(disable=True)
        self._checkpoint, self._caught, self._open = checkpoint, caught, ExitStack()

    def __enter__(self) -> "Record":
        self._board = self._open.enter_context(SummaryWriter(str(self.outputs / TENSORBOARD)))
        return self

    def __exit__(self, *_) -> None:
        self._open.close()

    def begin(self, job: "Job") -> None:
        """Restore the checkpoint, if there is one, and show progress from there on."""
        if self._checkpoint:
            job.restore(self._checkpoint)
            for epoch, (metrics, ended) in enumerate(zip(job.history, job.ended, strict=True), start=1):
                self.tracked.log_metrics(step=epoch, timestamp=datetime.fromtimestamp(ended, UTC), **metrics)
            self.echo(f"resumed after epoch {job.epoch} of {job.epochs_in_all}")
        # disable=None: a bar on a terminal, none elsewhere
        bar = tqdm(total=job.steps_in_all, initial=job.step, unit="step", leave=False, disable=None)
        self.bar = self._open.enter_context(bar)

    def check_signals(self) -> None:
        """Raise Stopped when a signal asked the training to end."""
        if self._caught:
            resumable = (self.outputs / runs.CHECKPOINT).is_file()
            raise Stopped(self._caught[0], self.tracked.run_uuid, resumable)

    def end_epoch(self, job: "Job", seconds: float) -> None:
        metrics = job.history[-1]
        job.save(self.outputs / runs.CHECKPOINT)
        self.tracked.log_metrics(step=job.epoch, **metrics)
        for name, value in metrics.items():
            self._board.add_scalar(name, value, job.epoch)
        told = "  ".join(
            f"{name.replace('_', ' ')} {value:.4g}" for name, value in metrics.items() if name not in ("lr", SCORE)
        )
        if job.epoch % max(1, job.epochs_in_all // TOLD) == 0 or job.step >= job.steps_in_all:
            self.echo(f"epoch {job.epoch}/{job.epochs_in_all}  {told}  {seconds:.1f} s")

    def finish(self, job: "Job", evaluated: dict[str, float], bucket) -> None:
        """Write the model and the last metrics, with those on the test split, which decide nothing."""
        model = self.outputs / runs.MODEL
        with atomic_file(model) as draft:
            torch.save(job.network.state_dict(), draft)
        with atomic_file(self.outputs / runs.ANSWERS) as draft:
            answers, targets = job.answers()
            np.savez(draft, answers=answers, targets=targets, names=np.array(job.schema.outputs.names))
        on_test = {f"test_{name}": value for name, value in evaluated.items() if name != "loss"}
        last = {name: value for name, value in job.history[-1].items() if name != "lr"}
        self.tracked.log_outputs(**last, **on_test)
        self.tracked.log_model_ref(path=str(model), name="model", framework="pytorch", is_input=False)
        self.tracked.log_tensorboard_ref(path=str(self.outputs / TENSORBOARD), name=TENSORBOARD, is_input=False)
        if bucket:
            address = bucket.upload(model, f"runs/{self.tracked.run_uuid}/{runs.MODEL}")
            self.tracked.log_outputs(model_address=address)
            self.echo(f"copied to {address}")
        metric = job.schema.outputs.metric
        self.echo(
            f"run {self.tracked.run_uuid}: {metric} {last[SCORE]:.4f} on validation, {evaluated[SCORE]:.4f} on test"
        )
