"""What is wrong with data, before a model learns from it: stops where nothing good can come of it, warns elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .columns import CATEGORY, Column
from .errors import UserError
from .tables import Table

if TYPE_CHECKING:
    from .dataset import Examples, Source
    from .images import Images
    from .schema import Schema

FEWEST = 10  # examples of a class, of which at least one must be in each split
DISGUISE = 0.999  # of the target that one column tells alone, from which it is suspect
BRIGHT = 128  # mean of pictures from 0 to 255, above which they are probably dark on bright


def check_labels(source: Source, schema: Schema) -> None:
    """Stop where the labels cannot teach anything.

    Raises:
        UserError: there is one class only, or a class with too few examples.
    """
    if source.task != "classes":
        return
    names, counts = np.unique(np.asarray(source.labels).astype(str), return_counts=True)
    if len(names) < 2:
        raise UserError(f"{source.name} holds one class only, {names[0]}: there is nothing to tell apart.")
    few = [f"{name} ({count})" for name, count in zip(names, counts, strict=True) if count < FEWEST]
    if few:
        raise UserError(
            f"{source.name}: too few examples of {', '.join(few[:10])}{' ...' if len(few) > 10 else ''}: each class "
            f"needs at least {FEWEST}, to be in every split. Add some, or leave the class out."
        )
    if source.test_labels is not None and (absent := sorted(set(names) - set(map(str, source.test_labels)))):
        source.notes.append(f"WARNING: its test set has no {', '.join(absent[:10])}")


def report(source: Source, schema: Schema, splits: dict[str, Examples]) -> list[str]:
    """Return what a person should look at, as lines: a table of the columns, the classes, and warnings.

    Raises:
        UserError: the values are of a scale that cannot be meant.
    """
    train = splits["train"]
    if isinstance(schema.inputs, Table):
        lines = _columns(schema.inputs, splits)
    else:
        lines = _pictures(schema.inputs, train.inputs)
    if source.task == "classes":
        lines += _classes(schema, splits)
    else:
        low, high, mean = train.targets.min(), train.targets.max(), train.targets.mean()
        lines.append(f"target {source.target}: {low:g} to {high:g}, mean {mean:.4g}")
    return lines + _shared(splits)


def _pictures(schema: Images, inputs: np.ndarray) -> list[str]:
    high = inputs.max()
    if schema.high > 1 >= high:
        raise UserError(
            f"The pictures' values go from {inputs.min()} to {high}, and {schema.low} to {schema.high} is meant. "
            f"Multiply them by {schema.high}."
        )
    if schema.channels == 1 and inputs.mean() > BRIGHT:
        return [
            f"WARNING: the pictures are bright (mean {inputs.mean():.0f}), as of dark ink on paper. A model learns "
            "these well, and then must be asked about such"
        ]
    return []


def _columns(table: Table, splits: dict[str, Examples]) -> list[str]:
    train = splits["train"]
    rows = [["column", "kind", "missing", "values", ""]]
    number = 0
    for column in table.columns:
        if not column.use:
            rows.append([column.name, column.kind, "", "", f"left out: {column.reason}"])
            continue
        values = train.inputs[:, number]
        number += 1
        missing = int(np.isnan(values).sum())
        told = "WARNING: it alone tells the target; is it known before?" if _tells(values, train.targets) else ""
        rows.append([column.name, column.kind, str(missing) if missing else "-", _range(column), told])
    widths = [max(map(len, part)) for part in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _range(column: Column) -> str:
    if column.kind == CATEGORY:
        shown = ", ".join(column.categories[:5])
        return f"{shown} ... ({len(column.categories)})" if len(column.categories) > 5 else shown
    return f"{column.seen[0]:g} to {column.seen[1]:g}" if column.seen else "any"


def _tells(values: np.ndarray, targets: np.ndarray) -> bool:
    """Whether a column is the target in disguise: it grows with a number, or each of its values has one class."""
    known = ~np.isnan(values)
    values, targets = values[known].astype(np.float64), targets[known]
    if len(values) < 3 or values.min() == values.max():
        return False
    if targets.dtype.kind == "f":
        return targets.std() > 0 and abs(np.corrcoef(values, targets)[0, 1]) > DISGUISE
    order = np.argsort(values, kind="stable")
    different, codes = np.unique(values, return_inverse=True)
    runs = 1 + int((np.diff(targets[order]) != 0).sum())  # stretches of one class, in the column's order
    pure = all(len(set(targets[codes == code].tolist())) == 1 for code in range(min(len(different), 100)))
    return pure and runs <= len(np.unique(targets))


def _classes(schema: Schema, splits: dict[str, Examples]) -> list[str]:
    for name, examples in splits.items():
        if absent := sorted(set(range(len(schema.outputs.names))) - set(examples.targets.tolist())):
            names = ", ".join(schema.outputs.names[number] for number in absent[:10])
            if name == "train":
                raise UserError(
                    f"No training example is of the class {names}: the split by group or time leaves it none."
                )
            return [f"WARNING: the {name} split has no {names}"]
    return []


def _shared(splits: dict[str, Examples]) -> list[str]:
    """Examples that are in the training split and in another: what they score was learned by heart."""
    seen = {inputs.tobytes() for inputs in splits["train"].inputs}
    lines = []
    for name in ("validation", "test"):
        count = sum(inputs.tobytes() in seen for inputs in splits[name].inputs)
        if count:
            share = count / len(splits[name])
            lines.append(
                f"WARNING: {count} examples of {name} ({share:.1%}) are in train too; GROUP= keeps alike ones together"
            )
    return lines
