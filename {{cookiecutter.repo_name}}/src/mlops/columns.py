"""One column of a table: numbers or categories, of which some values may be missing."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .errors import Refused

Values = Sequence[Any] | np.ndarray
NUMBER, CATEGORY = "number", "category"
MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "-", "?"))  # texts, in lower case, that stand for no value
MOST_SHOWN = 8  # categories, in a message


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
        is_open = (self.seen, self.low, self.high) == ((), None, None)
        if self.kind == NUMBER and values.dtype.kind == "f" and is_open:
            return replace(self, **number_range(values), reason="")
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


def number_range(values: np.ndarray) -> dict[str, Any]:
    """Return the fields `seen`, `low` and `high` of a column with these values, NaN where one is missing.

    A value may be up to the width of what was seen beyond it, and not below zero where nothing was. Another unit or a
    slip of the keyboard is further off; what is new but near is drift, which is watched.
    """
    least, most = float(np.nanmin(values)), float(np.nanmax(values))
    width = most - least
    low = max(0.0, least - width) if least >= 0 else least - width
    return {"seen": (least, most), "low": float(f"{low:.3g}"), "high": float(f"{most + width:.3g}")}


def as_fields(content: Any) -> dict[str, Any]:
    """Return a table of TOML or JSON as a dataclass takes it, its lists as tuples; nothing where it is no table."""
    content = content if isinstance(content, dict) else {}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in content.items()}


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
