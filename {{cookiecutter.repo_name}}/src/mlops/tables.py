"""Inputs that are rows of a table: columns of numbers and of categories, of which some values may be missing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from .errors import Refused

Values = Sequence[Any] | np.ndarray
NUMBER, CATEGORY = "number", "category"
MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "-", "?"))  # texts, in lower case, that stand for no value
MOST_SHOWN = 8  # categories, in a message
MOST_STATISTICS = 20  # categories of a column whose shares are watched for drift


@dataclass(frozen=True)
class Column:
    """One column: a number, or one of several categories.

    Attributes:
        seen: of a number, the least and the most value that the data held.
        low, high: of a number, what a value may be; None bounds nothing.
        missing: whether a value may be missing.
        use: whether the model sees it; `reason` says why not.
    """

    name: str
    kind: str
    categories: tuple[str, ...] = ()
    seen: tuple[float, ...] = ()
    low: float | None = None
    high: float | None = None
    missing: bool = False
    use: bool = True
    reason: str = ""

    def __post_init__(self) -> None:
        if self.kind not in (NUMBER, CATEGORY):
            raise ValueError(f"column {self.name}: kind is {self.kind!r}; it is {NUMBER} or {CATEGORY}")
        if self.low is not None and self.high is not None and not self.low <= self.high:
            raise ValueError(
                f"column {self.name}: low is {self.low} and high {self.high}; low must not be more than high"
            )

    def completed(self, values: np.ndarray | None) -> "Column":
        """Return this column, as people edited it, with the categories or the range that the values have."""
        if values is None or not self.use:
            return self
        if self.kind == CATEGORY and not self.categories:
            names = {as_category(value) for value in values if not is_missing(value)}
            return replace(self, categories=tuple(sorted(names)), reason="")
        if (
            self.kind == NUMBER
            and values.dtype.kind == "f"
            and not self.seen
            and self.low is None
            and self.high is None
        ):
            seen = float(np.nanmin(values)), float(np.nanmax(values))
            low, high = limits(*seen)
            return replace(self, seen=seen, low=low, high=high, reason="")
        return self

    def encode(self, values: Values) -> np.ndarray:
        """Return values as the model takes them, float64 [N]: numbers, codes of categories, NaN where one is missing.

        Training and serving both call this, so a value means the same in both.

        Raises:
            Refused: a value is not one of this column; the text names its row, from 1, and the rule.
        """
        found = self._numbers(values) if self.kind == NUMBER else self._codes(values)
        if not self.missing and (row := first(np.isnan(found))) is not None:
            raise Refused(f"row {row + 1}, column {self.name}: the value is missing, and this column may not lack one")
        return found

    def _numbers(self, values: Values) -> np.ndarray:
        if not (isinstance(values, np.ndarray) and values.dtype.kind in "iuf"):
            values = [self._number(row, value) for row, value in enumerate(values)]
        found = np.asarray(values, dtype=np.float64)
        low, high = -np.inf if self.low is None else self.low, np.inf if self.high is None else self.high
        if (row := first((found < low) | (found > high) | np.isinf(found))) is not None:
            rule = f"from {low:g} to {high:g}" if np.isfinite(low + high) else "finite"
            raise Refused(f"row {row + 1}, column {self.name}: {found[row]:g} is out of range; its values are {rule}")
        return found

    def _number(self, row: int, value: Any) -> float:
        if isinstance(value, int | float | np.number) and not isinstance(value, bool):
            try:
                return float(value)
            except OverflowError:  # a whole number of hundreds of digits
                return np.inf
        if is_missing(value):
            return np.nan
        raise Refused(f"row {row + 1}, column {self.name}: {shown(value)} is not a number")

    def _codes(self, values: Values) -> np.ndarray:
        codes = {name: float(code) for code, name in enumerate(self.categories)}
        found = [codes.get(as_category(value), None if not is_missing(value) else np.nan) for value in values]
        if None in found:
            row = found.index(None)
            known = ", ".join(self.categories[:MOST_SHOWN]) + (" ..." if len(self.categories) > MOST_SHOWN else "")
            raise Refused(
                f"row {row + 1}, column {self.name}: {shown(values[row])} is not one of its categories: {known}"
            )
        return np.array(found, dtype=np.float64)


@dataclass(frozen=True)
class Table:
    """Rows of a table. The model takes the columns that are used, float32 [columns], in their order."""

    columns: tuple[Column, ...]
    kind: ClassVar[str] = "table"
    unit: ClassVar[str] = "row"

    def __post_init__(self) -> None:
        columns = tuple(column if isinstance(column, Column) else Column(**_tuples(column)) for column in self.columns)
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
        """Return columns of values as float32 [N, columns].

        Raises:
            Refused: a column is not there, or a value is not one of its column.
        """
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
            keys = dict.fromkeys(key for row in rows for key in row)
            self._check_names(list(keys), field)
            return self.encode({name: [row.get(name) for row in rows] for name in keys} | self._blank(keys, len(rows)))
        names = list(names) if names else [column.name for column in self.used]
        self._check_names(names, "data.names")
        for number, row in enumerate(rows):
            if not isinstance(row, list) or len(row) != len(names):
                held = f"{len(row)} values" if isinstance(row, list) else shown(row)
                raise Refused(f"{field}, row {number + 1} has {held}, not {len(names)}: send {self.accepts}")
        columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
        return self.encode(columns | self._blank(columns, len(rows)))

    def _blank(self, known: Mapping[str, Any], rows: int) -> dict[str, list[None]]:
        """Columns that a caller left out: all of their values are missing, which the column may allow."""
        return {column.name: [None] * rows for column in self.used if column.name not in known}

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
        """What drift is judged by: each number, each category's share, and the share of missing values."""
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

    def parse(self, columns: Mapping[str, Sequence[str]]) -> dict[str, list]:
        """Return columns of texts, as a CSV file has them, with the numbers among them as numbers."""
        numbers = {column.name for column in self.used if column.kind == NUMBER}
        return {
            name: [_as_number(text) for text in texts] if name in numbers else list(texts)
            for name, texts in columns.items()
        }


def _as_number(text: str) -> float | str | None:
    try:
        return float(text)
    except ValueError:
        return None if is_missing(text) else text


def limits(low: float, high: float) -> tuple[float, float]:
    """What a value may be: up to the width of what was seen beyond it, and not below zero where nothing was.

    Another unit or a slip of the keyboard is further off; what is new but near is drift, which is watched.
    """
    width = high - low
    least = max(0.0, low - width) if low >= 0 else low - width
    return float(f"{least:.3g}"), float(f"{high + width:.3g}")


def first(wrong: np.ndarray) -> int | None:
    """Return the first row that is true; None where none is."""
    return int(wrong.argmax()) if wrong.any() else None


def is_missing(value: Any) -> bool:
    """Return whether a value stands for none: null, NaN, or one of the texts in MISSING."""
    return value is None or value != value or (isinstance(value, str) and value.strip().lower() in MISSING)


def as_category(value: Any) -> str:
    """Return a value as the name of a category: text as it is, whole numbers without a point, true or false."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def shown(value: Any) -> str:
    """Return a caller's value for a message: cut short, in one line, and nothing in it that a terminal would obey."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    text = text if len(text) <= 40 else text[:40] + "..."
    return "".join(mark if mark.isprintable() else f"\\u{ord(mark):04x}" for mark in text)


def _tuples(fields: Any) -> dict[str, Any]:
    if not isinstance(fields, dict):
        raise ValueError("each of columns is a table with name and kind")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
