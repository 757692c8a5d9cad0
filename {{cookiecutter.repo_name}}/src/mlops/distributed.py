"""Data-parallel training: several processes take a step together, each on its share of the batch.

The processes know each other by the variables that torchrun sets, and Kubeflow's operator in the pods of a pytorchjob:
MASTER_ADDR, MASTER_PORT, WORLD_SIZE, RANK. They count only in a job that says that it is distributed (`train
--distributed`): launchers and notebooks leave them in the environment of others. Alone, every function does nothing.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn

from .errors import UserError


def processes() -> int:
    """Return how many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, from 0. The first one records the run."""
    return distributed.get_rank() if distributed.is_initialized() else 0


@contextmanager
def group(wanted: bool) -> Iterator[None]:
    """Join the other processes of a distributed job, if one is wanted, and leave them at the end."""
    if not wanted:
        yield
        return
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK") if not os.environ.get(name)]
    if missing:
        raise UserError(
            f"--distributed needs {', '.join(missing)}, which torchrun or a pytorchjob sets. "
            "On this machine: make train FILE=train-distributed"
        )
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def parallel(network: nn.Module) -> nn.Module:
    """Return the network to train with: the same, or one whose gradients are the mean over the processes'."""
    if processes() == 1:
        return network
    # The weights are the same everywhere by the seed; dropout must not be, or all shares would drop the same units.
    if rank() > 0:  # the first process goes on as one alone does, and draws the order of the examples for all
        torch.manual_seed(torch.initial_seed() + rank())
    return nn.parallel.DistributedDataParallel(network)


def broadcast_from_rank0(tensor: Tensor) -> Tensor:
    """Return the first process's tensor, in all of them."""
    if processes() > 1:
        distributed.broadcast(tensor, src=0)
    return tensor


def share(rows: Tensor) -> Tensor:
    """Return the rows of a batch that this process works on."""
    return rows[rank() :: processes()]


def total(value: Tensor) -> Tensor:
    """Return the sum of the processes' values."""
    if processes() > 1:
        distributed.all_reduce(value)
    return value


def exit_now() -> None:
    """End this process, whose work is done and recorded, without the interpreter's own end.

    gloo's threads can abort that, and the run would count as failed (https://github.com/pytorch/pytorch/issues/190489).
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
