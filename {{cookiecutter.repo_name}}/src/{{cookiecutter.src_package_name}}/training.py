"""Fit and evaluate. Metrics go to Polyaxon tracking; a run that is stopped can be resumed from its last whole epoch."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from . import distributed, lineage, runs, signals
from .data import DATA_FILE, Dataset, Digits, load
from .errors import Stopped, UserError
from .files import atomic_file
from .network import Network, normalise

TENSORBOARD = "tensorboard"  # the folder of event files among a run's outputs

WARM_UP = 0.21  # share of the steps; with 0.2, five steps in all warm up in none, and torch divides by that
# `default`: Adam with the one-cycle schedule (https://arxiv.org/abs/1708.07120), `lr` its peak.
# `article`: SGD with momentum.
RECIPES: dict[str, dict[str, Any]] = {
    "default": {"batch_size": 64, "lr": 5e-3, "momentum": None},
    "article": {"batch_size": 128, "lr": 0.01, "momentum": 0.5},
}


@dataclass(frozen=True)
class Hyperparameters:
    """What decides a run, together with the data and the code. `train_steps` 0 means: as many as the epochs have."""

    recipe: str = "default"
    batch_size: int = 64
    test_batch_size: int = 1000
    epochs: int = 5
    train_steps: int = 0
    lr: float = 5e-3
    momentum: float | None = None
    seed: int = 1

    @classmethod
    def of(cls, recipe: str, **given) -> "Hyperparameters":
        """The recipe's values, with those given (not None) in their place."""
        if recipe not in RECIPES:
            raise UserError(f"There is no recipe {recipe!r}; there are: {', '.join(RECIPES)}.")
        given = {name: value for name, value in given.items() if value is not None}
        if recipe == "default" and "momentum" in given:
            raise UserError(
                "--momentum belongs to SGD, and the recipe `default` uses Adam. Use --recipe article, or leave it out."
            )
        return cls(recipe=recipe, **(RECIPES[recipe] | given))


@dataclass
class Progress:
    """All that a run needs to go on: the network, its optimiser and schedule, and what was measured so far.

    `parallel` is the same network as several processes train it together.
    """

    network: Network
    parallel: torch.nn.Module
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler | None
    epoch: int = 0
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def save(self, path: Path) -> None:
        state = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict() if self.schedule else None,
            "random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state_all(),
            "epoch": self.epoch,
            "step": self.step,
            "history": self.history,
        }
        with atomic_file(path) as draft:
            torch.save(state, draft)

    def restore(self, path: Path) -> None:
        state = torch.load(path, weights_only=True, map_location=self.device)
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.schedule:
            self.schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"].cpu())
        if state["cuda_random"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all([random.cpu() for random in state["cuda_random"]])
        self.epoch, self.step, self.history = state["epoch"], state["step"], state["history"]


def train(
    hyperparameters: Hyperparameters,
    data_file: Path = DATA_FILE,
    name: str = "train",
    bucket: str | None = None,
    echo: Callable = tqdm.write,
) -> str | None:
    """Train one model as one recorded run, and copy it to a bucket if one is named; gives the run's uuid.

    Of several processes that train together the first records the run; the others give None.

    Raises:
        UserError: there is no data, or there are no credentials for the bucket.
        Stopped: a signal to end came; the run is recorded as stopped and can be resumed.
    """
    dataset = load(data_file)
    with distributed.group():
        if distributed.rank() > 0:
            _follow(hyperparameters, dataset)
            return None
        target = _bucket(bucket)
        tracked = runs.start(name)
        tracked.log_inputs(**_inputs(hyperparameters, dataset))
        runs.save(tracked)
        with runs.alone(Path(tracked.get_artifacts_path())):
            return _train(tracked, hyperparameters, dataset, None, echo, target)


def resume(uuid: str, data_file: Path = DATA_FILE, bucket: str | None = None, echo: Callable = tqdm.write) -> str:
    """Go on with a run that was stopped or killed, from its last whole epoch, with its own hyperparameters.

    Raises:
        UserError: the run is finished, never finished an epoch, is being trained now, or its data or code have changed.
    """
    run = runs.find(uuid)
    if run.status == "succeeded":
        raise UserError(f"Run {run.uuid} has finished; there is nothing to resume.")
    if not run.inputs:
        raise UserError(f"Run {run.uuid} cannot be resumed: its record is damaged. Start a new one with: make train")
    if not run.checkpoint.is_file():
        raise UserError(f"Run {run.uuid} stopped before its first whole epoch. Start a new one with: make train")
    hyperparameters = Hyperparameters(**{item.name: run.inputs[item.name] for item in fields(Hyperparameters)})
    dataset = load(data_file)
    changed = [key for key, value in _source(dataset).items() if run.inputs.get(key) != value]
    if changed:
        raise UserError(
            f"Run {run.uuid} cannot be resumed: {', '.join(changed)} changed since. Start a new one with: make train"
        )
    target = _bucket(bucket)
    with runs.alone(run.folder):
        runs.mend_events(run.folder)
        tracked = runs.start(run.name, resume=run.uuid)
        return _train(tracked, hyperparameters, dataset, run.checkpoint, echo, target)


def find_finished(hyperparameters: Hyperparameters, data_file: Path = DATA_FILE) -> runs.Run | None:
    """The newest run that succeeded with these hyperparameters on this data with this code."""
    wanted = asdict(hyperparameters) | _source(load(data_file))
    for run in reversed(runs.recorded()):
        if run.status == "succeeded" and run.model.is_file() and wanted.items() <= run.inputs.items():
            return run
    return None


def evaluate(network: Network, images: Tensor, labels: Tensor, batch_size: int) -> tuple[float, float]:
    """Mean cross-entropy and accuracy over normalised images [N, 1, 28, 28]."""
    network.eval()
    loss = correct = 0.0
    with torch.inference_mode():
        for start in range(0, len(labels), batch_size):
            logits, wanted = network(images[start : start + batch_size]), labels[start : start + batch_size]
            loss += functional.cross_entropy(logits, wanted, reduction="sum").item()
            correct += (logits.argmax(1) == wanted).sum().item()
    return loss / len(labels), correct / len(labels)


def steps_in_all(hyperparameters: Hyperparameters, digits: int) -> int:
    """Optimiser steps of a whole run on so many training digits."""
    steps = hyperparameters.epochs * math.ceil(digits / hyperparameters.batch_size)
    return min(steps, hyperparameters.train_steps or steps)


def begin(hyperparameters: Hyperparameters, digits: int, device: torch.device) -> Progress:
    """A fresh network with its optimiser and schedule; seeds torch."""
    torch.manual_seed(hyperparameters.seed)
    network = Network().to(device).to(memory_format=torch.channels_last)
    parallel = distributed.parallel(network)
    # fused: one operation for all parameters, instead of a dozen for each, which are a twentieth of an epoch
    if hyperparameters.recipe == "article":
        momentum = hyperparameters.momentum or 0.0
        sgd = torch.optim.SGD(network.parameters(), lr=hyperparameters.lr, momentum=momentum, fused=True)
        return Progress(network, parallel, sgd, None)
    adam = torch.optim.Adam(network.parameters(), lr=hyperparameters.lr, fused=True)
    steps = steps_in_all(hyperparameters, digits)
    one_cycle = torch.optim.lr_scheduler.OneCycleLR(
        adam, max_lr=hyperparameters.lr, total_steps=steps, pct_start=WARM_UP, div_factor=10
    )
    return Progress(network, parallel, adam, one_cycle)


def on_device(digits: Digits, device: torch.device) -> tuple[Tensor, Tensor]:
    """Normalised images [N, 1, 28, 28] float32 and labels [N] int64, whole in the device's memory."""
    images = normalise(torch.from_numpy(digits.images).to(device)).unsqueeze(1)
    return images.contiguous(memory_format=torch.channels_last), torch.from_numpy(digits.labels).to(device, torch.int64)


def run_epoch(
    progress: Progress, images: Tensor, labels: Tensor, batch_size: int, limit: int, on_step: Callable
) -> float:
    """One pass over the training digits in a new order, `limit` steps in all at most; gives the mean loss."""
    progress.network.train()
    total, seen = torch.zeros((), device=progress.device), 0
    order = distributed.of_the_first(torch.randperm(len(labels)).to(progress.device))
    for rows in order.split(batch_size):
        if progress.step >= limit:
            break
        mine = distributed.share(rows)
        logits = progress.parallel(images.index_select(0, mine))
        summed = functional.cross_entropy(logits, labels[mine], reduction="sum")
        # The gradients' mean over the processes is then the gradient of the mean over the batch.
        loss = summed * distributed.processes() / len(rows)
        progress.optimiser.zero_grad()
        loss.backward()
        progress.optimiser.step()
        if progress.schedule:
            progress.schedule.step()
        progress.step += 1
        total, seen = total + summed.detach(), seen + len(rows)
        on_step()
    return (distributed.total(total) / seen).item()


def _follow(hyperparameters: Hyperparameters, dataset: Dataset) -> None:
    """What every process but the first does: its share of each step. It measures, records and writes nothing."""
    images, labels = on_device(dataset.splits["train"], _device())
    progress, limit = begin(hyperparameters, len(labels), _device()), steps_in_all(hyperparameters, len(labels))
    while progress.step < limit:
        run_epoch(progress, images, labels, hyperparameters.batch_size, limit, on_step=lambda: None)


def _train(tracked, hyperparameters: Hyperparameters, dataset: Dataset, checkpoint, echo: Callable, bucket=None) -> str:
    # Polyaxon marks a run as succeeded when the process ends, however it ends: what went wrong must be said before.
    with signals.collected() as caught:

        def check() -> None:
            if caught:
                raise Stopped(caught[0], tracked.run_uuid, resumable=(_outputs(tracked) / runs.CHECKPOINT).is_file())

        try:
            progress = _fit(tracked, hyperparameters, dataset, checkpoint, check, echo)
            _finish(tracked, hyperparameters, dataset, progress, echo, bucket)
        except Stopped as stopped:
            tracked.log_stopped(reason="Signal", message=str(stopped))
            raise
        except Exception as error:
            tracked.log_failed(reason=type(error).__name__, message=str(error)[:500])
            raise
        finally:
            tracked.end()
    return tracked.run_uuid


def _outputs(tracked) -> Path:
    return Path(tracked.get_artifacts_path()) / "outputs"


def _device() -> torch.device:
    # One thread, whatever OMP_NUM_THREADS says: sums are then added in the same order on every machine, and a busy
    # machine does not stall the network, which is too small to gain much from more.
    torch.set_num_threads(1)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _bucket(name: str | None):
    if not name:
        return None
    from .artifacts import Bucket  # Google's libraries, only where they are needed

    return Bucket(name)


def _fit(tracked, hyperparameters, dataset, checkpoint, check, echo) -> Progress:
    device = _device()
    train, validation = (on_device(dataset.splits[name], device) for name in ("train", "validation"))
    progress = begin(hyperparameters, len(train[1]), device)
    if checkpoint:
        progress.restore(checkpoint)
        _log_missing(tracked, progress)
        echo(f"resumed after epoch {progress.epoch} of {hyperparameters.epochs}")
    limit = steps_in_all(hyperparameters, len(train[1]))
    # disable=None: a bar on a terminal, none elsewhere
    bar = tqdm(total=limit, initial=progress.step, unit="step", leave=False, disable=None)
    with bar, SummaryWriter(str(_outputs(tracked) / TENSORBOARD)) as board:

        def on_step() -> None:
            check()
            bar.update()

        while progress.step < limit:
            began = time.perf_counter()
            loss = run_epoch(progress, *train, hyperparameters.batch_size, limit, on_step)
            val_loss, accuracy = evaluate(progress.network, *validation, hyperparameters.test_batch_size)
            progress.epoch += 1
            metrics = {
                "loss": loss,
                "val_loss": val_loss,
                "accuracy": accuracy,
                "lr": progress.optimiser.param_groups[0]["lr"],
            }
            progress.history.append(metrics)
            progress.save(_outputs(tracked) / runs.CHECKPOINT)
            tracked.log_metrics(step=progress.epoch, **metrics)
            for metric, value in metrics.items():
                board.add_scalar(metric, value, progress.epoch)
            echo(
                f"epoch {progress.epoch}/{hyperparameters.epochs}  loss {loss:.4f}  validation loss {val_loss:.4f}  "
                f"accuracy {accuracy:.4f}  {time.perf_counter() - began:.1f} s"
            )
    return progress


def _finish(tracked, hyperparameters, dataset, progress: Progress, echo, bucket=None) -> None:
    """Write the model, and the test accuracy, which decides nothing."""
    model = _outputs(tracked) / runs.MODEL
    with atomic_file(model) as draft:
        torch.save(progress.network.state_dict(), draft)
    test = on_device(dataset.splits["test"], progress.device)
    _, test_accuracy = evaluate(progress.network, *test, hyperparameters.test_batch_size)
    last = progress.history[-1]
    tracked.log_outputs(test_accuracy=test_accuracy, **{name: last[name] for name in ("accuracy", "val_loss", "loss")})
    tracked.log_model_ref(path=str(model), name="model", framework="pytorch", is_input=False)
    tracked.log_tensorboard_ref(path=str(_outputs(tracked) / TENSORBOARD), name=TENSORBOARD, is_input=False)
    if bucket:
        address = bucket.upload(model, f"runs/{tracked.run_uuid}/{runs.MODEL}")
        tracked.log_outputs(model_address=address)
        echo(f"copied to {address}")
    echo(f"run {tracked.run_uuid}: accuracy {last['accuracy']:.4f} on validation, {test_accuracy:.4f} on test")


def _log_missing(tracked, progress: Progress) -> None:
    """Metrics are written behind the run's back: a killed run may lack some that its checkpoint has."""
    folder = Path(tracked.get_artifacts_path())
    for metric in progress.history[0]:
        there = runs.recorded_steps(folder, metric)
        for epoch, metrics in enumerate(progress.history, start=1):
            if epoch not in there:
                tracked.log_metrics(step=epoch, **{metric: metrics[metric]})


def _source(dataset: Dataset) -> dict[str, str]:
    origin = dataset.origin
    return {
        "data_source": origin["source"],
        "data_digest": origin["digest"],
        "data_seed": origin["seed"],
        "code_digest": lineage.code_digest(),
    }


def _inputs(hyperparameters: Hyperparameters, dataset: Dataset) -> dict:
    commit, dirty = lineage.commit()
    return asdict(hyperparameters) | _source(dataset) | {"commit": commit, "dirty": dirty}
