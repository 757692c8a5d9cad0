"""A source becomes one file of tensors: three splits, the schema, and where they came from.

The file is safetensors: `{train,validation,test}_inputs` [N, *shape] and `..._targets` [N], with the schema and the
origin as JSON in its metadata. It is read and written without torch, and nothing in it can run.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from . import schema as schemas
from .errors import UserError
from .files import atomic_file
from .schema import Schema

FILE = Path("data/processed/dataset.safetensors")
SPLITS = ("train", "validation", "test")
SEED = 1
TEST_SHARE = 0.2  # where the source has no test set of its own
VALIDATION_SHARE = 0.125  # of what is not test: 5,000 examples become 3,500, 500 and 1,000


@dataclass(frozen=True)
class Source:
    """What a source holds: examples [N, *shape], their labels, and those of a test set of its own, if it has one."""

    name: str
    inputs: np.ndarray
    labels: np.ndarray
    test_inputs: np.ndarray | None = None
    test_labels: np.ndarray | None = None


@dataclass(frozen=True)
class Examples:
    """Inputs [N, *shape] and targets [N]: numbers of classes, int64."""

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
    origin: dict[str, str]

    @property
    def counts(self) -> dict[str, int]:
        return {name: len(examples) for name, examples in self.splits.items()}


def prepare(source: Source, fingerprint: str, output: Path = FILE, schema_file: Path = schemas.FILE) -> Dataset:
    """Split a source and write `output`, whole or not at all; infer and write the schema when there is none yet.

    Args:
        fingerprint: tells at once whether the source is still the one that was read.

    Raises:
        UserError: the source does not fit the schema, or is too small to be split; nothing is written.
    """
    known = schemas.read(schema_file)
    found = _inferred(source, known)
    if problems := _misfits(source, found, known):
        raise UserError(
            f"The source {source.name} does not fit {schema_file}, and nothing was written:\n  "
            + "\n  ".join(problems)
            + f"\nIs it the right source? If the data has changed for good, edit {schema_file} or remove it; then: make data"
        )
    splits = _split(source, found)
    origin = {"source": source.name, "digest": digest(splits, found), "fingerprint": fingerprint, "seed": str(SEED)}
    tensors = {}
    for name, examples in splits.items():
        tensors[f"{name}_inputs"] = np.ascontiguousarray(examples.inputs)
        tensors[f"{name}_targets"] = np.ascontiguousarray(examples.targets)
    with atomic_file(output) as draft:
        # One entry, because the order of several changes from run to run, and the file with it.
        save_file(tensors, draft, metadata={"dataset": json.dumps({"schema": found.as_dict(), "origin": origin})})
    if not known:
        schemas.write(found, schema_file)
    return Dataset(splits, found, origin)


def load(path: Path = FILE, schema_file: Path = schemas.FILE) -> Dataset:
    """Read what `prepare` wrote.

    Raises:
        UserError: there is no such file, it is damaged, or the schema was edited since.
    """
    if not path.is_file():
        raise UserError(f"There is no data at {path}. Make it with: make data")
    try:
        with safe_open(path, framework="np") as file:
            schema, origin = _described(file)
            splits = {
                name: Examples(file.get_tensor(f"{name}_inputs"), file.get_tensor(f"{name}_targets"))
                for name in SPLITS
            }
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error!r}). Make it again with: make data") from None
    known = schemas.read(schema_file)
    if known and (differences := schema.differences(known)):
        raise UserError(
            f"{schema_file} was changed since {path} was made:\n  " + "\n  ".join(differences)
            + "\nMake the data again with: make data"
        )
    return Dataset(splits, schema, origin)


def read_origin(path: Path = FILE) -> dict[str, str] | None:
    """Read where a prepared file came from, without its tensors; None where there is none or it is damaged."""
    try:
        with safe_open(path, framework="np") as file:
            return _described(file)[1]
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, UserError):
        return None


def fits_schema(path: Path = FILE, schema_file: Path = schemas.FILE) -> bool:
    """Return whether the schema is still the one that a prepared file was made by."""
    known = schemas.read(schema_file)
    with safe_open(path, framework="np") as file:
        return known is not None and not _described(file)[0].differences(known)


def digest(splits: dict[str, Examples], schema: Schema) -> str:
    """Return the SHA-256 (hex) of the schema and of every split's inputs and targets."""
    sha = hashlib.sha256(json.dumps(schema.as_dict(), sort_keys=True).encode())
    for name in SPLITS:
        for array in (splits[name].inputs, splits[name].targets):
            sha.update(f"{name} {array.dtype} {array.shape}".encode())
            sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()


def _described(file: Any) -> tuple[Schema, dict[str, str]]:
    content = json.loads(file.metadata()["dataset"])
    return schemas.from_dict(content["schema"], "the file"), content["origin"]


def _inferred(source: Source, known: Schema | None) -> Schema:
    for labels, what in ((source.labels, "no examples"), (source.test_labels, "a test set without examples")):
        if labels is not None and not len(labels):
            raise UserError(f"{source.name} holds {what}.")
    found = Schema(schemas.Images.infer(source.inputs), schemas.Classes.infer(source.labels))
    return found.with_choices_of(known) if known else found


def _misfits(source: Source, schema: Schema, known: Schema | None) -> list[str]:
    parts = [inputs for inputs in (source.inputs, source.test_inputs) if inputs is not None]
    return [
        *(schema.differences(known) if known else []),
        *dict.fromkeys(text for inputs in parts for text in schema.inputs.misfits(inputs)),
    ]


def _split(source: Source, schema: Schema) -> dict[str, Examples]:
    """Stratified and seeded: a test set where the source has none, then a validation set."""
    train = Examples(source.inputs, schema.outputs.encode(source.labels, source.name))
    if source.test_inputs is None or source.test_labels is None:
        train, test = _stratified(train, TEST_SHARE)
    else:
        test = Examples(source.test_inputs, schema.outputs.encode(source.test_labels, f"{source.name}, its test set"))
    train, validation = _stratified(train, VALIDATION_SHARE)
    return {"train": train, "validation": validation, "test": test}


def _stratified(examples: Examples, share: float) -> tuple[Examples, Examples]:
    from sklearn.model_selection import train_test_split  # takes a second, so only where it is needed

    rows = np.arange(len(examples))
    try:
        kept, taken = train_test_split(rows, test_size=share, stratify=examples.targets, random_state=SEED)
    except ValueError as error:
        raise UserError(f"The source is too small to split by class: {error}") from None
    return examples.take(kept), examples.take(taken)
