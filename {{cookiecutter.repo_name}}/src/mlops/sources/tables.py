"""Tables as people have them: CSV in whatever dialect, and Parquet. pandas reads; what was understood is said."""

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from ..columns import CATEGORY, MISSING, NUMBER, Column, as_category, limits
from ..dataset import Request, Source
from ..errors import UserError
from ..tables import Table
from . import table_files

MOST_CATEGORIES = 100  # different texts in a column, with which it is still a category
FEW_VALUES = 20  # different whole numbers in a target, with which they are taken for classes
MIXED = 0.9  # share of numbers in a column, from which texts in it are taken for mistakes
TASKS = ("classes", "number")


def read(path: Path, request: Request) -> Source:
    """Read a CSV or Parquet file: its columns, and the target among them.

    Raises:
        UserError: the file cannot be read, is too large, or has no such column; the message says what to type next.
    """
    frame, notes = table_files.read_frame(path, request)
    if not len(frame):
        raise UserError(f"{path} holds no rows below its header.")
    target = _column(frame, request.target, "TARGET", path)
    columns = {str(name): column_values(str(name), frame[name]) for name in frame.columns}
    labels = columns.pop(target)
    has_target = ~pandas.isna(pandas.Series(labels, dtype=object)).to_numpy()
    if not has_target.all():
        rows = np.flatnonzero(~has_target)
        notes.append(f"{len(rows)} rows have no {target} and are left out, the first is row {rows[0] + 1}")
        columns = {name: values[has_target] for name, values in columns.items()}
        labels = labels[has_target]
    if not len(labels):
        raise UserError(f"{path}: no row has a value in the column {target}.")
    task = _task(labels, request.task, target, notes)
    if task == "classes":
        labels = np.array([as_category(label) for label in labels], dtype=object)
    by = {role: _order(columns, frame, name, role, path, has_target) for role, name in
          (("GROUP", request.group), ("TIME", request.time)) if name}  # fmt: skip
    only_split = frozenset(filter(None, (request.group, request.time)))
    return Source(
        name=request.source, inputs=columns, labels=labels, schema=infer(columns, only_split), task=task,
        target=target, notes=notes,        groups=by.get("GROUP"), times=by.get("TIME"),
    )  # fmt: skip


def fingerprint(path: Path) -> str:
    """Return the SHA-256 (hex) of the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def infer(columns: Mapping[str, np.ndarray], left_out: frozenset[str] = frozenset()) -> Table:
    """Return the schema of columns; those that cannot help a model are in it, not used, with the reason.

    Args:
        left_out: columns that only say how to split.
    """
    found = []
    for name, values in columns.items():
        column = _infer_column(name, values)
        if name in left_out:
            column = replace(column, use=False, reason="only splits")
        found.append(column)
    if not any(column.use for column in found):
        told = "; ".join(f"{column.name}: {column.reason}" for column in found[:5])
        raise UserError(f"No column can help to tell the target: {told}.")
    return Table(tuple(found))


def _infer_column(name: str, values: np.ndarray) -> Column:
    if values.dtype.kind == "f":
        present = values[~np.isnan(values)]
        missing, different = len(present) < len(values), len(np.unique(present))
        if different <= 1:
            return Column(name, NUMBER, missing=missing, use=False, reason="it is the same in every row")
        seen = float(present.min()), float(present.max())
        low, high = limits(*seen)
        column = Column(name, NUMBER, seen=seen, low=low, high=high, missing=missing)
        if different == len(values) and _is_consecutive(present):
            return replace(column, use=False, reason="it numbers the rows")
        return column
    texts = [text for text in values if text is not None]
    missing, names = len(texts) < len(values), sorted(set(texts))
    if len(names) <= 1:
        return Column(name, CATEGORY, tuple(names), missing=missing, use=False, reason="it is the same in every row")
    if _are_dates(names):
        return Column(name, CATEGORY, missing=missing, use=False, reason="it holds dates (TIME= splits by them)")
    if len(names) > MOST_CATEGORIES:
        what = "every text is another" if len(names) == len(texts) else f"{len(names)} different texts"
        return Column(name, CATEGORY, missing=missing, use=False, reason=what)
    if len(names) == len(values):
        return Column(name, CATEGORY, tuple(names), missing=missing, use=False, reason="every text is another")
    return Column(name, CATEGORY, tuple(names), missing=missing)


def _is_consecutive(values: np.ndarray) -> bool:
    return bool((values == np.round(values)).all() and values.max() - values.min() == len(values) - 1)


def _are_dates(names: list[str]) -> bool:
    tried = names[:50]
    parsed = pandas.to_datetime(pandas.Series(tried), errors="coerce", format="mixed")
    return bool(parsed.notna().all()) and all(any(mark in text for mark in "-/:.") for text in tried)


def as_values(frame: pandas.DataFrame, table: Table, decimal: str = ".") -> dict[str, Any]:
    """Return the columns of a table that the model uses as the schema encodes them; a part's types may be others."""
    found: dict[str, Any] = {}
    for column in table.used:
        if column.name not in frame:
            continue
        values = frame[column.name]
        if values.dtype.kind in "iufmMb":
            found[column.name] = column_values(column.name, values)
            continue
        texts = ["" if gone else str(value) for value, gone in zip(values, values.isna(), strict=True)]
        if column.kind == NUMBER and decimal != ".":
            texts = [text.replace(decimal, ".") for text in texts]
        found |= table.parse({column.name: texts})
    return found


def _column(frame: pandas.DataFrame, name: str | None, option: str, path: Path) -> str:
    known = [str(column) for column in frame.columns]
    if name in known:
        return str(name)
    listed = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    if not name:
        raise UserError(
            f"Which column of {path} is to be told? Say it: make data SOURCE={path} TARGET=COLUMN. There are: {listed}"
        )
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    remedy = f"Did you mean {option}={near[0]}?" if near else f"There are: {listed}"
    raise UserError(f"{path} has no column {name}. {remedy}")


def column_values(name: str, column: pandas.Series) -> np.ndarray:
    """A column as float64 with NaN where it is missing, or as texts with None there."""
    if column.dtype.kind in "iuf":
        return column.to_numpy(dtype=np.float64)
    if column.dtype.kind in "mM":
        return np.array([None if pandas.isna(value) else value.isoformat() for value in column], dtype=object)
    if column.dtype.kind == "b":
        return np.array(["true" if value else "false" for value in column], dtype=object)
    texts = column.astype("string[pyarrow]").str.strip()
    missing = texts.isna() | texts.str.lower().isin(list(MISSING))
    numbers = pandas.to_numeric(texts.where(~missing), errors="coerce")
    are_numbers = numbers.notna()
    present = int((~missing).sum())
    if present and are_numbers.sum() == present and not _has_leading_zeros(texts[~missing]):
        return numbers.astype("float64").to_numpy(dtype=np.float64, na_value=np.nan)
    if present and are_numbers.sum() >= MIXED * present and not _has_leading_zeros(texts[~missing]):
        rows = np.flatnonzero((~missing & ~are_numbers).to_numpy())
        shown = ", ".join(f"row {row + 1} {texts.iloc[row]!r}" for row in rows[:5])
        raise UserError(
            f"The column {name} holds numbers, and text in {len(rows)} rows: {shown}. Correct or empty these fields."
        )
    return np.array([None if gone else text for text, gone in zip(texts, missing, strict=True)], dtype=object)


def _has_leading_zeros(texts: pandas.Series) -> bool:
    """Whether numbers are codes, such as zip codes: 01234."""
    return bool(texts.str.match(r"^0\d+$").any())


def _task(labels: np.ndarray, asked: str | None, target: str, notes: list[str]) -> str:
    if asked and asked not in TASKS:
        raise UserError(f"TASK={asked}: it is one of {', '.join(TASKS)}.")
    if labels.dtype.kind != "f":
        if asked == "number":
            raise UserError(f"TASK=number: the column {target} holds text, such as {labels[0]!r}.")
        return "classes"
    different = np.unique(labels)
    few = len(different) <= FEW_VALUES and (different == np.round(different)).all()
    task = asked or ("classes" if few else "number")
    other = "number" if task == "classes" else "classes"
    what = f"{len(different)} classes" if task == "classes" else "a number"
    notes.append(f"the target {target} is taken as {what}; otherwise: TASK={other}")
    return task


def _order(columns: dict, frame: pandas.DataFrame, name: str, role: str, path: Path, rows: np.ndarray) -> np.ndarray:
    """What a split goes by: the values of a column, as numbers in their order."""
    name = _column(frame, name, role, path)
    if name not in columns:
        raise UserError(f"{role}={name} is the target.")
    values = columns[name]
    if any(value is None or value != value for value in values):
        raise UserError(f"{role}={name}: the column lacks a value in some rows.")
    if role == "TIME" and values.dtype.kind != "f":
        parsed = pandas.to_datetime(pandas.Series(values), errors="coerce", format="mixed", utc=True)
        if parsed.isna().any():
            row = int(parsed.isna().to_numpy().argmax())
            raise UserError(f"TIME={name}: {values[row]!r} in row {row + 1} is no time.")
        return parsed.astype("int64").to_numpy()
    return np.unique(values.astype(str) if values.dtype.kind != "f" else values, return_inverse=True)[1]
