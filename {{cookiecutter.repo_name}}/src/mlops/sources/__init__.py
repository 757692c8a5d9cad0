"""Readers of data as people have it; each gives examples and their targets."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Request:
    """Which source to read, and how; `target` to `decimal` are for tables."""

    source: str
    target: str | None = None
    group: str | None = None
    time: str | None = None
    task: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    decimal: str | None = None

    def given(self) -> dict[str, str]:
        """Return what was said, as schema.toml has it."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Source:
    """The examples of a source.

    Attributes:
        inputs: pictures [N, height, width, channels], or the columns of a table by name.
        labels: of each example, its class or its number.
        test_inputs, test_labels: a test set of its own, if it has one.
        schema: of the inputs; inferred from pictures where it is not given.
        task: whether the labels are `classes` or a `number` called `target`.
        groups, times: of each example; a group is never split, and later times test what earlier ones taught.
        notes: what a person should know of how it was read.
    """

    name: str
    inputs: Any
    labels: Any
    test_inputs: Any = None
    test_labels: Any = None
    schema: Any = None
    task: str = "classes"
    target: str = "class"
    groups: np.ndarray | None = None
    times: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)
