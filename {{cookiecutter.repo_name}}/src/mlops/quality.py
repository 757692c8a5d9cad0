"""The quality gate before training: it stops where nothing good can come of the data, and warns elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .columns import CATEGORY, Column
from .errors import UserError
from .runs import aligned
from .tables import Table

if TYPE_CHECKING:
    from .dataset import Examples
    from .images import Images
    from .schema import Schema
    from .sources import Source

FEWEST = 10  # examples of a class, of which at least one must be in each split
DISGUISE = 0.999  # of the target that one column tells alone, from which it is suspect
BRIGHT = 128  # mean of pictures from 0 to 255, above which they are probably dark on bright


def check_labels(source: Source) -> None:
    """Stop where the labels cannot teach anything: one class only, or a class with too few examples."""
    if source.task != "classes":
        return
    names, counts = np.unique(np.asarray(source.labels).astype(str), return_counts=True)
    if len(names) < 2:
        raise UserError(
            f"{source.name} holds one class only, {names[0]}: there is nothing to tell apart. Add examples of another."
        )
    if few := [f"{name} ({count})" for name, count in zip(names, counts, strict=True) if count < FEWEST]:
        raise UserError(
            f"{source.name}: too few examples of {', '.join(few[:10])}{' ...' if len(few) > 10 else ''}: each class "
            f"needs at least {FEWEST}, to be in every split. Add some, or leave the class out."
        )


def report(source: Source, schema: Schema, splits: dict[str, Examples]) -> list[str]:
    """Return lines to read: the columns, the classes, warnings. UserError where the scale cannot be meant."""
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
    values_of_used = iter(train.inputs.T)
    rows = [["column", "kind", "missing", "values", ""]]
    for column in table.columns:
        if not column.use:
            rows.append([column.name, column.kind, "", "", f"left out: {column.reason}"])
            continue
        values = next(values_of_used)
        missing = int(np.isnan(values).sum())
        told = "WARNING: it alone tells the target; is it known before?" if _tells(values, train.targets) else ""
        rows.append([column.name, column.kind, str(missing or "-"), _range(column), told])
    return aligned(rows)


def _range(column: Column) -> str:
    if column.kind == CATEGORY:
        shown = ", ".join(column.categories[:5])
        return f"{shown} ... ({len(column.categories)})" if len(column.categories) > 5 else shown
    return f"{column.seen[0]:g} to {column.seen[1]:g}" if column.seen else "any"


def _tells(values: np.ndarray, targets: np.ndarray) -> bool:
    """Return whether a column is the target in disguise: it grows with a number, or one cut each tells the classes."""
    known = ~np.isnan(values)
    values, targets = values[known], targets[known]
    if len(values) < 3 or values.min() == values.max():
        return False
    if targets.dtype.kind == "f":
        return targets.std() > 0 and abs(np.corrcoef(values, targets)[0, 1]) > DISGUISE
    from sklearn.tree import DecisionTreeClassifier  # takes a second

    tree = DecisionTreeClassifier(max_leaf_nodes=max(2, len(np.unique(targets))))
    return tree.fit(values[:, None], targets).score(values[:, None], targets) == 1


def _classes(schema: Schema, splits: dict[str, Examples]) -> list[str]:
    """Name the classes that a split lacks, which a source's own test set or a split by group or time may do."""
    lines = []
    for name, examples in splits.items():
        absent = sorted(set(range(len(schema.outputs.names))) - set(examples.targets.tolist()))
        names = ", ".join(schema.outputs.names[number] for number in absent[:10])
        if absent and name == "train":
            raise UserError(
                f"No training example is of the class {names}: the split by group or time leaves it none. Split by "
                "another column, or leave the class out."
            )
        if absent:
            lines.append(f"WARNING: the {name} split has no {names}")
    return lines


def _shared(splits: dict[str, Examples]) -> list[str]:
    """Count the examples that are in the training split and in another: their score was learned by heart."""
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
