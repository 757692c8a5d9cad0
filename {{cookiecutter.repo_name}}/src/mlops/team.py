"""The team's package, as it is handed to this one."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from . import dataset as datasets
from . import lineage, schema
from .errors import UserError
from .files import atomic_file

ASKED = Path("data/asked.json")  # what `make data` was asked for and has not done: it was refused, or stopped


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
        if "torch" not in sys.modules:
            print("Loading PyTorch", file=sys.stderr, flush=True)  # it takes seconds
        return Code(self.package, *self.load())

    def lineage(self, origin: dict[str, Any]) -> dict[str, str]:
        """Return what a run that is trained now on data of this origin would come from."""
        return lineage.of_now(self.package, origin)

    def prepare(self, request: datasets.Request, output: Path = datasets.FILE) -> datasets.Dataset:
        """Read a source, split it and write it down. Until that is done, the next stages know that it was asked for."""
        if is_ours := output.absolute() == datasets.FILE.absolute():
            with atomic_file(ASKED) as draft:
                draft.write_text(json.dumps(request.given()), encoding="utf-8")
        source = self.data.read(request, schema.read())
        dataset = datasets.prepare(source, self.fingerprint(request), output, request=request)
        if is_ours:
            ASKED.unlink()
        return dataset

    def unfinished(self) -> datasets.Request | None:
        """Return what `make data` was asked for last, where it was refused or stopped."""
        return datasets.Request(**json.loads(ASKED.read_text(encoding="utf-8"))) if ASKED.is_file() else None

    def check_data(self, data_file: Path) -> None:
        """Stop where the prepared data is not what `make data` was asked for last."""
        if data_file.absolute() == datasets.FILE.absolute() and (asked := self.unfinished()):
            raise UserError(
                f"The last `make data SOURCE={asked.source}` was refused or stopped, so there is no data of it. Type "
                f"it again. For {self.request().source}, type: make data"
            )

    def fingerprint(self, request: datasets.Request) -> str:
        """Return a text that changes when the source does, or the code in data.py that reads it."""
        return f"{self.data.fingerprint(request)} {lineage.code_digest(self.package, ('data.py',))}"

    def request(self, **given: str | None) -> datasets.Request:
        """Return what is asked for: a source as given, the one that schema.toml records, or the package's default."""
        recorded = schema.read_source() or self.data.DEFAULT.given()
        known = {name: value for name, value in given.items() if value is not None}
        try:
            return datasets.Request(**(known if "source" in known else recorded | known))
        except TypeError as error:
            raise UserError(f"{schema.FILE}: [source]: {error}. An earlier one: git checkout {schema.FILE}") from None
