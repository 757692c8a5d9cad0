"""Make a source of a CSV or Parquet file: the kinds of its columns, its target, and how to split it."""

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from ..columns import CATEGORY, MISSING, NUMBER, Column, as_category, is_missing, number_range
from ..errors import UserError
from ..tables import Table
from . import Request, Source, table_files

MOST_CATEGORIES = 100  # different texts in a column, with which it is still a category
FEW_VALUES = 20  # different whole numbers in a target, with which they are taken for classes
MIXED = 0.9  # share of numbers in a column, from which texts in it are taken for mistakes


def read(path: Path, request: Request) -> Source:
    """Read a CSV or Parquet file: its columns, and the target among them. UserError says what to type next."""
    frame, notes = table_files.read_frame(path, request)
    if not len(frame):
        raise UserError(f"{path} holds no rows below its header. Give a file with rows: make data SOURCE=FILE")
    target = _column(frame, request.target, "TARGET", path)
    columns = {name: column_values(name, frame[name]) for name in frame.columns}
    has_target = ~pandas.isna(columns[target])
    if not has_target.any():
        raise UserError(f"{path}: no row has a value in the column {target}. Choose another: TARGET=COLUMN")
    if not has_target.all():
        rows = np.flatnonzero(~has_target)
        notes.append(f"{len(rows)} rows have no {target} and are left out, the first is row {rows[0] + 1}")
        columns = {name: values[has_target] for name, values in columns.items()}
    labels = columns.pop(target)
    task = _task(labels, request.task, target, notes)
    if task == "classes":
        labels = np.array([as_category(label) for label in labels], dtype=object)
    groups = _order(columns, _column(frame, request.group, "GROUP", path), "GROUP") if request.group else None
    times = _order(columns, _column(frame, request.time, "TIME", path), "TIME") if request.time else None
    schema = infer(columns, frozenset(filter(None, (request.group, request.time))))
    return Source(
        request.source, columns, labels, schema=schema, task=task, target=target, groups=groups, times=times,
        notes=notes,
    )  # fmt: skip


def fingerprint(path: Path) -> str:
    """Return the SHA-256 (hex) of the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def infer(columns: Mapping[str, np.ndarray], left_out: frozenset[str] = frozenset()) -> Table:
    """Return the schema of columns. Those that cannot help a model, or are `left_out` to split by, are not used."""
    found = [_infer_column(name, values) for name, values in columns.items()]
    found = [replace(each, use=False, reason="only splits") if each.name in left_out else each for each in found]
    if not any(column.use for column in found):
        told = "; ".join(f"{column.name}: {column.reason}" for column in found[:5])
        raise UserError(f"No column can help to tell the target: {told}. Add one that can.")
    return Table(tuple(found))


def _infer_column(name: str, values: np.ndarray) -> Column:
    present = values[~pandas.isna(values)]
    different, missing, reason = np.unique(present), len(present) < len(values), ""
    if len(different) <= 1:
        reason = "it is the same in every row"
    if values.dtype.kind == "f":
        if len(different) == len(values) and _is_consecutive(different):
            reason = reason or "it numbers the rows"
        found = number_range(values) if len(different) > 1 else {}
        return Column(name, NUMBER, missing=missing, use=not reason, reason=reason, **found)
    if not reason and _are_dates(different):
        reason = "it holds dates (TIME= splits by them)"
    elif not reason and len(different) == len(present):
        reason = "every text is another"
    elif len(different) > MOST_CATEGORIES:
        reason = f"{len(different)} different texts"
    categories = () if reason else tuple(different.tolist())
    return Column(name, CATEGORY, categories, missing=missing, use=not reason, reason=reason)


def _is_consecutive(values: np.ndarray) -> bool:
    return bool((values == np.round(values)).all() and values[-1] - values[0] == len(values) - 1)


def _are_dates(names: np.ndarray) -> bool:
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
        is_number = column.kind == NUMBER
        found[column.name] = [_as_number(text.replace(decimal, ".")) for text in texts] if is_number else texts
    return found


def _as_number(text: str) -> float | str | None:
    try:
        return float(text)
    except ValueError:
        return None if is_missing(text) else text


def _column(frame: pandas.DataFrame, name: str | None, option: str, path: Path) -> str:
    known = list(frame.columns)
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
    """Return a column as float64 with NaN where it is missing, or as texts with None there."""
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
    """Return whether numbers are codes, such as zip codes: 01234."""
    return bool(texts.str.match(r"^0\d+$").any())


def _task(labels: np.ndarray, asked: str | None, target: str, notes: list[str]) -> str:
    if labels.dtype.kind != "f":
        if asked == "number":
            raise UserError(
                f"The column {target} holds text, such as {labels[0]!r}, and TASK=number takes numbers. Correct these "
                "fields, or type TASK=classes"
            )
        return "classes"
    different = np.unique(labels)
    few = len(different) <= FEW_VALUES and (different == np.round(different)).all()
    task = asked or ("classes" if few else "number")
    other = "number" if task == "classes" else "classes"
    what = f"{len(different)} classes" if task == "classes" else "a number"
    notes.append(f"the target {target} is taken as {what}; otherwise: TASK={other}")
    return task


def _order(columns: Mapping[str, np.ndarray], name: str, role: str) -> np.ndarray:
    """Return what a split goes by: the values of a column, as numbers in their order."""
    if name not in columns:
        raise UserError(f"{role}={name} is the target, and a split goes by another column. Choose one: {role}=COLUMN")
    values = columns[name]
    if (gone := pandas.isna(values)).any():
        row = int(gone.argmax()) + 1
        raise UserError(f"{role}={name}: row {row} has no value, and each needs one. Fill it, or remove the row.")
    if role == "TIME" and values.dtype.kind != "f":
        parsed = pandas.to_datetime(pandas.Series(values), errors="coerce", format="mixed", utc=True)
        if parsed.isna().any():
            row = int(parsed.isna().to_numpy().argmax())
            raise UserError(f"TIME={name}: {values[row]!r} in row {row + 1} is no time. Write it as 2026-11-24 12:00")
        return parsed.astype("int64").to_numpy()
    return np.unique(values, return_inverse=True)[1]
