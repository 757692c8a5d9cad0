"""Training: the hyperparameters, the loop, one evaluation.

Checkpoints, resuming, tracking, several processes and progress are the job's: see mlops/trainer.py.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from mlops.errors import UserError
from mlops.schema import Schema
from mlops.trainer import Job, Split

from . import model

WARM_UP = 0.21  # share of the steps; with 0.2, five steps in all warm up in none, and torch divides by that
# `default`: Adam with the one-cycle schedule (https://arxiv.org/abs/1708.07120), `lr` its peak.
# `article`: SGD with momentum.
RECIPES: dict[str, dict[str, Any]] = {
    "default": {"batch_size": 64, "lr": 5e-3, "momentum": None},
    "article": {"batch_size": 128, "lr": 0.01, "momentum": 0.5},
}


def option(default: Any, help: str, **limits: Any) -> Any:
    """Declare a hyperparameter: its default, its text in `train --help`, and the values that it may have."""
    return field(default=default, metadata={"help": help, **limits})


@dataclass(frozen=True)
class Hyperparameters:
    """Hyperparameters: with the data and the code they decide the model. Each is an option of `train`."""

    recipe: str = option("default", "Adam with a one-cycle schedule, or SGD.", choices=list(RECIPES))
    batch_size: int = option(64, "Examples in a training step. Default: the recipe's, 64 or 128.", min=1)
    test_batch_size: int = option(1000, "Examples in a step of the evaluation; changes no result.", min=1)
    epochs: int = option(model.EPOCHS, "Passes over the training examples.", min=1)
    train_steps: int = option(0, "Maximum number of training steps; 0 for no limit.", min=0)
    lr: float = option(5e-3, "Learning rate: peak 0.005 (default), constant 0.01 (article).", above=0)
    momentum: float | None = option(None, "Momentum of SGD, in the recipe article (default 0.5).", min=0, below=1)
    seed: int = option(1, "Same seed, same result.", min=0)


def hyperparameters(recipe: str = "default", **given: Any) -> Hyperparameters:
    """Return a recipe's values, with those given in their place.

    Raises:
        UserError: the recipe has no such hyperparameter.
    """
    if recipe == "default" and "momentum" in given:
        raise UserError(
            "--momentum belongs to SGD, and the recipe `default` uses Adam. Use --recipe article, or leave it out."
        )
    return Hyperparameters(recipe=recipe, **(RECIPES[recipe] | given))


def train(job: Job) -> None:
    """Train the job's network: read it from top to bottom."""
    settings = job.hyperparameters
    steps = job.plan(settings.epochs, settings.batch_size, at_most=settings.train_steps)
    optimizer, schedule = make_optimizer(job.network, settings, steps)
    job.keep(optimizer=optimizer, schedule=schedule)
    for _ in job.epochs():
        job.network.train()
        for inputs, targets in job.batches():
            loss = model.loss(job.parallel(inputs), targets, job.schema)
            optimizer.zero_grad()
            job.backward(loss)
            optimizer.step()
            if schedule:
                schedule.step()
        found = evaluate(job.network, job.validation, job.schema, settings.test_batch_size)
        job.end_epoch(val_loss=found.pop("loss"), **found, lr=optimizer.param_groups[0]["lr"])


def make_optimizer(network: nn.Module, settings: Hyperparameters, steps: int):
    """Return the recipe's optimizer and its schedule over so many steps, if it has one."""
    # fused: one operation for all parameters, instead of a dozen for each, which are a twentieth of an epoch
    if settings.recipe == "article":
        momentum = settings.momentum or 0.0
        return torch.optim.SGD(network.parameters(), lr=settings.lr, momentum=momentum, fused=True), None
    adam = torch.optim.Adam(network.parameters(), lr=settings.lr, fused=True)
    one_cycle = torch.optim.lr_scheduler.OneCycleLR(
        adam, max_lr=settings.lr, total_steps=steps, pct_start=WARM_UP, div_factor=10
    )
    return adam, one_cycle


@torch.inference_mode()
def evaluate(network: nn.Module, split: Split, schema: Schema, batch_size: int = 1000) -> dict[str, float]:
    """Return the loss over a split, the score that decides (higher is better), and the same by its own name."""
    network.eval()
    outputs = torch.cat([network(inputs) for inputs in split.inputs.split(batch_size)])
    score = schema.outputs.score(outputs.cpu().numpy(), split.targets.cpu().numpy())
    return {"loss": model.loss(outputs, split.targets, schema).item(), "score": score, schema.outputs.metric: score}
