"""What a team's package hands to this one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from . import dataset as datasets
from . import lineage


@dataclass(frozen=True)
class Code:
    """The team's network, its loop, and the class that serves."""

    package: Path  # the folder
    model: ModuleType  # build(schema), loss(outputs, targets)
    training: ModuleType  # Hyperparameters, hyperparameters(**given), train(job), evaluate(network, split, schema)
    serving: ModuleType  # Model, a ServedModel


@dataclass(frozen=True)
class Team:
    """The team's package. Its network and loop need torch, so they are imported only when they are needed."""

    package: Path  # the folder
    data: ModuleType  # read(source), fingerprint(source), and constants
    load: Callable[[], tuple[ModuleType, ModuleType, ModuleType]]  # gives model, training and serving

    def code(self) -> Code:
        return Code(self.package, *self.load())

    def lineage(self, origin: dict[str, str]) -> dict[str, str]:
        """Return what a run that is trained now on data of this origin would come from."""
        return lineage.of_now(self.package, origin)

    def prepare(self, source: str, output: Path = datasets.FILE) -> datasets.Dataset:
        """Read a source, split it and write it down."""
        return datasets.prepare(self.data.read(source), self.data.fingerprint(source), output)
