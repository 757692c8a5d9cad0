"""Prepare a source: one file of tensors with three splits, the schema, and where they came from.

The file is safetensors: `{train,validation,test}_inputs` [N, *shape] and `..._targets` [N], with the schema and the
origin as JSON in its metadata. It is read and written without torch, and nothing in it can run.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from . import drawings, quality
from . import schema as schemas
from .errors import UserError
from .files import atomic_file
from .schema import Schema
from .sources import Request, Source

FILE = Path("data/processed/dataset.safetensors")
SPLITS = ("train", "validation", "test")
SEED = 1
TEST_SHARE = 0.2  # where the source has no test set of its own
VALIDATION_SHARE = 0.125  # of what is not test: 5,000 examples become 3,500, 500 and 1,000


@dataclass(frozen=True)
class Examples:
    """Inputs [N, *shape] and targets [N]: numbers of classes, int64, or numbers, float32."""

    inputs: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: np.ndarray) -> "Examples":
        return Examples(self.inputs[rows], self.targets[rows])


@dataclass(frozen=True)
class Dataset:
    """The splits, their schema, and their origin (`source`, `digest`, `fingerprint`, `seed`)."""

    splits: dict[str, Examples]
    schema: Schema
    origin: dict[str, Any]
    report: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        return {name: len(examples) for name, examples in self.splits.items()}


def prepare(
    source: Source,
    fingerprint: str,
    output: Path = FILE,
    schema_file: Path = schemas.FILE,
    request: Request | None = None,
) -> Dataset:
    """Split a source and write `output`, whole or not at all; infer and write the schema when there is none yet.

    Args:
        fingerprint: tells at once whether the source is still the one that was read.
        request: how it was asked for, which schema.toml records.

    Raises:
        UserError: the source does not fit the schema, or is not good enough to learn from; nothing is written.
    """
    known = schemas.read(schema_file)
    known = known and known.completed(source.inputs)
    found = _infer(source, known)
    _check_fit(source, found, known, schema_file)
    quality.check_labels(source)
    splits = _split(source, found)
    report = [*source.notes, *quality.report(source, found, splits)]
    asked = (request or Request(source.name)).given()
    origin = {
        "source": source.name,
        "digest": digest(splits, found),
        "fingerprint": fingerprint,
        "seed": str(SEED),
        "request": asked,
    }
    dataset = Dataset(splits, found, origin, report)
    save(dataset, output)
    schemas.write(found, asked, schema_file)
    return dataset


def save(dataset: Dataset, path: Path) -> None:
    """Write a file of tensors, whole or not at all."""
    tensors = {}
    for name, examples in dataset.splits.items():
        tensors[f"{name}_inputs"] = np.ascontiguousarray(examples.inputs)
        tensors[f"{name}_targets"] = np.ascontiguousarray(examples.targets)
    about = {"schema": dataset.schema.as_dict(), "origin": dataset.origin}
    with atomic_file(path) as draft:
        # One entry, because the order of several changes from run to run, and the file with it.
        save_file(tensors, draft, metadata={"dataset": json.dumps(about)})


def load(path: Path = FILE, schema_file: Path = schemas.FILE) -> Dataset:
    """Read what `prepare` wrote. UserError where it is gone, damaged, or the schema was edited since."""
    with _opened(path) as (file, schema, origin):
        splits = {
            name: Examples(file.get_tensor(f"{name}_inputs"), file.get_tensor(f"{name}_targets")) for name in SPLITS
        }
    known = schemas.read(schema_file)
    if known and (differences := schema.differences(known)):
        raise UserError(
            f"{schema_file} was changed since {path} was made:\n  "
            + "\n  ".join(differences)
            + "\nMake the data again with: make data"
        )
    return Dataset(splits, schema, origin)


def read_origin(path: Path = FILE) -> dict[str, Any]:
    """Read where a prepared file came from, without its tensors. UserError where it is gone or damaged."""
    with _opened(path) as (_, _, origin):
        return origin


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Schema, dict[str, Any]]]:
    """Give a prepared file, its schema and its origin."""
    if not path.is_file():
        raise UserError(f"There is no data at {path}. Make it with: make data")
    try:
        with safe_open(path, framework="np") as file:
            content = json.loads(file.metadata()["dataset"])
            yield file, schemas.from_dict(content["schema"], str(path)), content["origin"]
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error!r}). Make it again with: make data") from None


def digest(splits: dict[str, Examples], schema: Schema) -> str:
    """Return the SHA-256 (hex) of the schema and of every split's inputs and targets."""
    sha = hashlib.sha256(json.dumps(schema.as_dict(), sort_keys=True).encode())
    for name in SPLITS:
        for array in (splits[name].inputs, splits[name].targets):
            sha.update(f"{name} {array.dtype} {array.shape}".encode())
            sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()


def _infer(source: Source, known: Schema | None) -> Schema:
    for labels, what in ((source.labels, "no examples"), (source.test_labels, "a test set without examples")):
        if labels is not None and not len(labels):
            raise UserError(f"{source.name} holds {what}. Add some: at least {quality.FEWEST} of each class.")
    outputs: schemas.Classes | schemas.Number
    if source.task == "number":
        outputs = schemas.Number.infer(source.target, np.asarray(source.labels))
    else:
        outputs = schemas.Classes.infer(source.labels)
    found = Schema(source.schema or drawings.infer(source.inputs), outputs)
    return found.with_choices_of(known) if known else found


def _check_fit(source: Source, schema: Schema, known: Schema | None, schema_file: Path) -> None:
    parts = [inputs for inputs in (source.inputs, source.test_inputs) if inputs is not None]
    problems = [
        *(schema.differences(known) if known else []),
        *dict.fromkeys(text for inputs in parts for text in schema.inputs.misfits(inputs)),
    ]
    if not problems:
        return
    more = [f"... and {len(problems) - 20} more"] if len(problems) > 20 else []
    raise UserError(
        f"The source {source.name} does not fit {schema_file}, and nothing was written:\n  "
        + "\n  ".join(problems[:20] + more)
        + f"\nIs it the right source? If the data changed for good, edit or remove {schema_file}; then: make data"
    )


def _split(source: Source, schema: Schema) -> dict[str, Examples]:
    """Split by the seed: a test set where the source has none, then a validation set; by class, group or time."""
    inputs, outputs = schema.inputs, schema.outputs
    whole = Examples(inputs.encode(source.inputs), outputs.encode(source.labels, source.name))
    rows = np.arange(len(whole))
    if source.test_inputs is not None:
        targets = outputs.encode(source.test_labels, f"{source.name}, its test set")
        test = Examples(inputs.encode(source.test_inputs), targets)
    else:
        rows, taken = _parted(rows, TEST_SHARE, source, whole.targets)
        test = whole.take(taken)
    kept, taken = _parted(rows, VALIDATION_SHARE, source, whole.targets)
    return {"train": whole.take(kept), "validation": whole.take(taken), "test": test}


def _parted(rows: np.ndarray, share: float, source: Source, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows to keep and rows to take: by time, by group, else at random, of classes each in its share."""
    from sklearn.model_selection import GroupShuffleSplit, train_test_split  # takes a second

    try:
        if source.times is not None:
            moments = np.sort(source.times[rows])
            boundary = moments[len(rows) - max(1, round(share * len(rows)))]
            later = source.times[rows] >= boundary
            if later.all():
                raise ValueError(f"all of its {len(rows)} examples are of one time")
            return rows[~later], rows[later]
        if source.groups is not None:
            parts = GroupShuffleSplit(1, test_size=share, random_state=SEED).split(rows, groups=source.groups[rows])
            kept, taken = next(parts)
            return rows[kept], rows[taken]
        classes = targets[rows] if source.task == "classes" else None
        return train_test_split(rows, test_size=share, stratify=classes, random_state=SEED)
    except ValueError as error:
        raise UserError(f"{source.name} cannot be split: {error}. Add examples, or split by another column.") from None
