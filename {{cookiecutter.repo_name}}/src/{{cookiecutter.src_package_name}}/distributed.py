"""Data-parallel training: several processes take a step together, each on its share of the batch.

The processes know each other by the variables that torchrun sets, and Kubeflow's operator in the pods of a pytorchjob:
MASTER_ADDR, MASTER_PORT, WORLD_SIZE, RANK. Without them there is one process, and every function here does nothing.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn


def processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """The number of this process, from 0. The first one records the run."""
    return int(os.environ.get("RANK", "0"))


@contextmanager
def group() -> Iterator[None]:
    """Join the other processes, and leave them at the end."""
    if processes() == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def parallel(network: nn.Module) -> nn.Module:
    """The network to train with: the same, or one whose gradients are the mean over the processes'."""
    if processes() == 1:
        return network
    # The weights are the same everywhere by the seed; dropout must not be, or all shares would drop the same units.
    if rank() > 0:  # the first process goes on as one alone does, and draws the order of the digits for all
        torch.manual_seed(torch.initial_seed() + rank())
    return nn.parallel.DistributedDataParallel(network)


def of_the_first(tensor: Tensor) -> Tensor:
    """The first process's tensor, in all of them."""
    if processes() > 1:
        distributed.broadcast(tensor, src=0)
    return tensor


def share(rows: Tensor) -> Tensor:
    """The rows of a batch that this process works on."""
    return rows[rank() :: processes()]


def total(value: Tensor) -> Tensor:
    """The sum of the processes' values."""
    if processes() > 1:
        distributed.all_reduce(value)
    return value


def leave() -> None:
    """End this process, whose work is done and recorded, when it is one of several; alone, do nothing.

    At once, because gloo's threads can abort the interpreter's own end, and the run would count as failed
    (https://github.com/pytorch/pytorch/issues/190489).
    """
    if processes() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
