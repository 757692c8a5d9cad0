"""Inputs that are rows of a table: columns of numbers and of categories, of which some values may be missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .columns import CATEGORY, MOST_SHOWN, NUMBER, Column, Values, as_fields, first, shown
from .errors import Refused

MOST_STATISTICS = 20  # categories of a column whose shares are watched for drift


@dataclass(frozen=True)
class Table:
    """Rows of a table. The model takes the columns that are used, float32 [columns], in their order."""

    columns: tuple[Column, ...]
    kind: ClassVar[str] = "table"
    unit: ClassVar[str] = "row"

    def __post_init__(self) -> None:
        columns = tuple(
            column if isinstance(column, Column) else Column(**as_fields(column)) for column in self.columns
        )
        object.__setattr__(self, "columns", columns)
        names = [column.name for column in columns]
        if double := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the column {double[0]} is there twice")
        if not self.used:
            raise ValueError("no column is used: give one of them use = true")

    def with_choices_of(self, known: "Table") -> "Table":
        """Return this table, inferred from data, with the columns as `known` has them: people edit these."""
        ours = {column.name: column for column in self.columns}
        kept = [column for column in known.columns if column.name in ours]
        names = {column.name for column in kept}
        return Table((*kept, *(column for column in self.columns if column.name not in names)))

    def completed(self, columns: Mapping[str, np.ndarray]) -> "Table":
        """Return this table with what an edit left open filled in: categories of a new category, a number's range."""
        return Table(tuple(column.completed(columns.get(column.name)) for column in self.columns))

    def misfits(self, columns: Mapping[str, Values]) -> list[str]:
        """Say which values of columns do not fit this schema; empty when all do."""
        found = []
        for column in self.used:
            try:
                column.encode(columns[column.name])
            except Refused as refusal:
                found.append(f"inputs: {refusal}")
            except KeyError:
                pass  # the schemas differ, which is told
        return found

    @property
    def used(self) -> list[Column]:
        return [column for column in self.columns if column.use]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example, as the model takes it."""
        return (len(self.used),)

    @property
    def size(self) -> int:
        return len(self.used)

    @property
    def accepts(self) -> str:
        """What a request may hold, in words."""
        names = ", ".join(column.name for column in self.used[:MOST_SHOWN])
        more = f", ... ({len(self.used)} columns)" if len(self.used) > MOST_SHOWN else ""
        return f"rows of {len(self.used)} values in the order {names}{more}; in another order with data.names"

    def encode(self, columns: Mapping[str, Values]) -> np.ndarray:
        """Return columns as float32 [N, columns]. Refused where one is missing, or holds a value that it may not."""
        absent = [column.name for column in self.used if column.name not in columns]
        if absent:
            raise Refused(f"column {absent[0]} is missing; there must be: {', '.join(c.name for c in self.used)}")
        return np.stack([column.encode(columns[column.name]) for column in self.used], axis=1).astype(np.float32)

    def read_json(self, values: Any, field: str, names: Sequence[str] | None = None) -> np.ndarray:
        """Return rows of a request as float32 [N, columns]: lists of values, or objects with values by column.

        Args:
            names: the columns of lists, in their order; without, the schema's.

        Raises:
            Refused: they are no rows of this schema; the text names the row, the column and the rule.
        """
        rows = [values] if isinstance(values, dict) else values
        if not isinstance(rows, list) or not rows:
            raise Refused(f"{field} must be a list of rows: send {self.accepts}")
        if all(isinstance(row, dict) for row in rows):
            names = list(dict.fromkeys(name for row in rows for name in row))
            self._check_names(names, field)
            columns = {name: [row.get(name) for row in rows] for name in names}
        else:
            names = list(names) if names else [column.name for column in self.used]
            self._check_names(names, "data.names")
            for number, row in enumerate(rows, start=1):
                if not isinstance(row, list) or len(row) != len(names):
                    held = f"{len(row)} values" if isinstance(row, list) else shown(row)
                    raise Refused(f"{field}, row {number} has {held}, not {len(names)}: send {self.accepts}")
            columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
        left_out = {column.name: [None] * len(rows) for column in self.used if column.name not in columns}
        return self.encode(columns | left_out)

    def _check_names(self, names: Sequence[str], field: str) -> None:
        known = {column.name for column in self.columns}
        if unknown := [name for name in names if name not in known]:
            raise Refused(f"{field}: there is no column {shown(unknown[0])}; there are: {', '.join(sorted(known))}")
        if len(set(names)) < len(names):
            raise Refused(f"{field}: a column is there twice")

    def read_array(self, array: np.ndarray) -> np.ndarray:
        """Return numbers [N, columns], categories as their codes, as float32."""
        if array.ndim != 2 or array.shape[1:] != self.shape or not len(array):
            raise Refused(f"a tensor must have the shape N x {self.shape[0]}, categories as their numbers")
        for number, column in enumerate(self.used):
            values = array[:, number]
            if column.kind == CATEGORY:
                wrong = ~np.isnan(values) & ~np.isin(values, np.arange(len(column.categories)))
                if (row := first(wrong)) is not None:
                    raise Refused(f"row {row + 1}, column {column.name}: {values[row]:g} is no category's number")
            else:
                column.encode(values.astype(np.float64))
        return array.astype(np.float32)

    def read_bytes(self, content: bytes) -> np.ndarray:
        raise Refused("binData holds images; send the rows of a table as data.ndarray or jsonData")

    @property
    def statistics(self) -> dict[str, str]:
        """The statistics that drift is judged by: each number, and the shares of categories and of missing values."""
        found = {}
        for column in self.used:
            if column.kind == NUMBER:
                found[column.name] = "mean of the column"
            else:
                found |= {f"{column.name}={name}": "share of the rows" for name in column.categories[:MOST_STATISTICS]}
            if column.missing:
                found[f"{column.name} missing"] = "share of the rows"
        return found

    def describe(self, inputs: np.ndarray) -> np.ndarray:
        """Return the statistics of each row, float64 [N, len(statistics)]; a missing number counts as mid-range."""
        found = []
        for number, column in enumerate(self.used):
            values = inputs[:, number].astype(np.float64)
            missing = np.isnan(values)
            if column.kind == NUMBER:
                found.append(np.where(missing, ((column.low or 0.0) + (column.high or 0.0)) / 2, values))
            else:
                found += [values == code for code in range(min(len(column.categories), MOST_STATISTICS))]
            if column.missing:
                found.append(missing)
        return np.stack(found, axis=1).astype(np.float64)

    def as_request(self, inputs: np.ndarray) -> list:
        """Return one example [columns] as it is sent in JSON: numbers in few digits, names of categories, null."""
        return [
            None if value != value else column.categories[int(value)] if column.kind == CATEGORY else float(str(value))
            for column, value in zip(self.used, inputs.astype(np.float32), strict=True)
        ]
