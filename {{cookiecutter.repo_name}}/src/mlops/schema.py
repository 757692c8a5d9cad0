"""The schema: the model's inputs and outputs. Sizes, classes and ranges are written nowhere else.

`make data` infers a schema and writes `schema.toml`, which is committed and which people edit. From there on it travels
with the data (`dataset.py`) and with the model (a bundle's metadata.json). Needs numpy; reading TOML is Python's own.
"""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from .columns import Column, as_fields
from .errors import UserError
from .images import Images
from .tables import Table

FILE = Path("schema.toml")
HEADER = """\
# What goes into the model and what comes out. `make data` wrote it, and everything else reads it.
# To overrule what was inferred, edit it and type `make data` again. Commit it.
"""


@dataclass(frozen=True)
class Classes:
    """A target that is one of several classes: the model answers with a probability for each, in this order."""

    classes: tuple[str, ...]
    kind: ClassVar[str] = "classes"
    metric: ClassVar[str] = "accuracy"
    spread: ClassVar[float] = 1.0  # of an answer: a probability's

    def __post_init__(self) -> None:
        texts = isinstance(self.classes, tuple) and all(isinstance(name, str) for name in self.classes)
        if not texts or len(set(self.classes)) < len(self.classes):
            raise ValueError("classes are texts in quotes, each only once")

    @classmethod
    def infer(cls, labels: Iterable) -> "Classes":
        """Return the different labels, numbers before words, each in its order."""
        names = {str(label) for label in labels}
        return cls(
            tuple(sorted(names, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)))
        )

    def with_choices_of(self, known: "Classes") -> "Classes":
        """Return these classes in the order of `known`, if they are the same ones: people may change the order."""
        return known if set(known.classes) == set(self.classes) else self

    @property
    def names(self) -> list[str]:
        """The names of the model's answers."""
        return list(self.classes)

    def encode(self, labels: Iterable, where: str) -> np.ndarray:
        """Return labels as numbers of classes, int64 [N]. UserError where a label is not one of the classes."""
        numbers = {name: number for number, name in enumerate(self.classes)}
        texts = [str(label) for label in labels]
        unknown = sorted(set(texts) - numbers.keys())
        if unknown:
            known = ", ".join(self.classes[:20]) + (" ..." if len(self.classes) > 20 else "")
            raise UserError(
                f"{where}: mislabeled: {', '.join(unknown[:5])} {'is' if len(unknown) == 1 else 'are'} not among the "
                f"classes, which are {known}. Correct the labels, or give another SOURCE="
            )
        return np.array([numbers[text] for text in texts], dtype=np.int64)

    def decode(self, target: float) -> str:
        """Return a target as people write it."""
        return self.classes[int(target)]

    def score(self, answers: np.ndarray, targets: np.ndarray) -> float:
        """Return the share of answers [N, classes] whose largest value is at the target [N]: accuracy."""
        return float((answers.argmax(axis=1) == targets).mean())

    def trivial_score(self, targets: np.ndarray) -> float:
        """Return the score of always answering the commonest class."""
        return float(np.bincount(targets).max() / len(targets))


@dataclass(frozen=True)
class Number:
    """A target that is a number; `low` and `high` are the least and the most that the training saw."""

    name: str
    low: float
    high: float
    unit: str = ""
    kind: ClassVar[str] = "number"
    metric: ClassVar[str] = "r2"

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"low is {self.low!r} and high {self.high!r}; low must be less than high")

    @classmethod
    def infer(cls, name: str, values: np.ndarray) -> "Number":
        if not np.isfinite(values).all() or values.min() == values.max():
            raise UserError(
                f"The target {name} is the same in every row, or not finite: there is nothing to learn. Choose "
                "another: make data TARGET=COLUMN"
            )
        return cls(name, float(values.min()), float(values.max()))

    def with_choices_of(self, known: "Number") -> "Number":
        """Return this number with the unit of `known`, and its range where that holds the values."""
        low, high = min(self.low, known.low), max(self.high, known.high)
        return replace(self, low=low, high=high, unit=known.unit) if known.name == self.name else self

    @property
    def spread(self) -> float:
        """The range of an answer, by which differences are judged."""
        return self.high - self.low

    @property
    def names(self) -> list[str]:
        """The names of the model's answers."""
        return [self.name]

    def encode(self, labels: Iterable, where: str) -> np.ndarray:
        """Return labels as float32 [N]."""
        return np.asarray(labels, dtype=np.float32)

    def decode(self, target: float) -> str:
        """Return a target as people write it."""
        return f"{target:.4g}{' ' + self.unit if self.unit else ''}"

    def score(self, answers: np.ndarray, targets: np.ndarray) -> float:
        """Return R²: 1 minus the squared error of answers [N, 1] over that of the targets' own mean.

        https://en.wikipedia.org/wiki/Coefficient_of_determination
        """
        error = np.square(answers[:, 0].astype(np.float64) - targets).sum()
        return float(1 - error / max(np.square(targets - targets.mean(dtype=np.float64)).sum(), 1e-12))

    def trivial_score(self, targets: np.ndarray) -> float:
        """Return the score of always answering the mean."""
        return 0.0


KINDS: dict[str, dict[str, Any]] = {
    "inputs": {kind.kind: kind for kind in (Images, Table)},
    "outputs": {kind.kind: kind for kind in (Classes, Number)},
}


@dataclass(frozen=True)
class Schema:
    """The inputs and the outputs of a model."""

    inputs: Images | Table
    outputs: Classes | Number

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Return the schema as it is written into TOML and JSON."""
        parts = {"inputs": self.inputs, "outputs": self.outputs}
        return {name: {"kind": part.kind, **_plain(part)} for name, part in parts.items()}

    def with_choices_of(self, known: "Schema") -> "Schema":
        """Return this schema, inferred from a source, with what people may choose as `known` has it."""
        parts: Any = ((self.inputs, known.inputs), (self.outputs, known.outputs))
        return Schema(*(ours.with_choices_of(theirs) if ours.kind == theirs.kind else ours for ours, theirs in parts))

    def completed(self, values: Any) -> "Schema":
        """Return this schema, as people edited it, with what they left open filled in from the input values."""
        return replace(self, inputs=self.inputs.completed(values)) if isinstance(self.inputs, Table) else self

    def differences(self, other: "Schema") -> list[str]:
        """Return each field that `other` has otherwise, as `outputs.classes: ["a"], not ["b"]`; empty when alike."""
        ours, theirs = _flat(self.as_dict()), _flat(other.as_dict())
        differ = [name for name in dict.fromkeys([*ours, *theirs]) if ours.get(name) != theirs.get(name)]
        return list(dict.fromkeys(_difference(name, ours, theirs) for name in differ))


def _difference(name: str, ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    part, _, field = name.partition(".columns.")
    column, _, _ = field.rpartition(".")
    kind = f"{part}.columns.{column}.kind"
    if column and (kind in ours) != (kind in theirs):
        return f"{part}: the column {column} is {'new' if kind in ours else 'missing'}"
    return f"{name}: {ours.get(name)!r}, not {theirs.get(name)!r}"


def from_dict(content: Any, where: str) -> Schema:
    """Read what `as_dict` gave. UserError names the part or field that is missing, unknown or of another type."""
    if not isinstance(content, dict) or content.keys() - {"source"} != KINDS.keys():
        raise UserError(f"{where} must hold the parts [inputs], [outputs] and [source], and nothing else.")
    parts = {}
    for name, kinds in KINDS.items():
        given = as_fields(content[name])
        kind = given.pop("kind", None)
        if kind not in kinds:
            raise UserError(f"{where}: {name}.kind is {kind!r}; it is one of: {', '.join(kinds)}.")
        try:
            parts[name] = kinds[kind](**given)
        except (TypeError, ValueError) as error:
            known = ", ".join(item.name for item in fields(kinds[kind]))
            raise UserError(f"{where}: [{name}]: {error}. A part of kind {kind} has: {known}.") from None
    return Schema(**parts)


def read(path: Path = FILE) -> Schema | None:
    """Read schema.toml; None where there is none yet. UserError where it is not TOML, or not a schema."""
    content = _content(path)
    return from_dict(content, str(path)) if content is not None else None


def read_source(path: Path = FILE) -> dict[str, str]:
    """Read which source schema.toml was made from, and how; empty where there is none yet."""
    return (_content(path) or {}).get("source", {})


def _content(path: Path) -> dict[str, Any] | None:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}. An earlier one: git checkout {path}") from None


def write(schema: Schema, source: dict[str, str], path: Path = FILE) -> None:
    """Write schema.toml; where it is there, change what has changed and keep people's comments."""
    import tomlkit  # here, because serving reads schemas and never writes one

    content = {"source": source, **schema.as_dict()}
    if not path.is_file():
        path.write_text(f"{HEADER}\n{tomlkit.dumps(content)}", encoding="utf-8")
        return
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    if document.unwrap() != content:
        _update(document, content)
        path.write_text(tomlkit.dumps(document), encoding="utf-8")


def _update(document: Any, content: dict[str, Any]) -> None:
    for name, value in content.items():
        known = document.get(name)
        if isinstance(value, dict) and known is not None:
            _update(known, value)
        elif _are_tables(value) and known is not None and len(known) == len(value):
            for inner, new in zip(known, value, strict=True):
                _update(inner, new)
        elif known != value:
            document[name] = value
    for name in document.keys() - content.keys():
        del document[name]


def _are_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _plain(value: Any) -> Any:
    """Return a part as TOML and JSON have it, without what is not set; of a column, without its defaults."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if not is_dataclass(value):
        return value
    content = {item.name: getattr(value, item.name) for item in fields(value)}
    unset = {item.name: item.default for item in fields(value)} if isinstance(value, Column) else {}
    return {k: _plain(v) for k, v in content.items() if v is not None and not (k in unset and v == unset[k])}


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Return each field by its full name; columns by theirs."""
    if _are_tables(value):
        value = {str(item.get("name")): {k: v for k, v in item.items() if k != "name"} for item in value}
    if isinstance(value, dict):
        return {
            key: found
            for inner, part in value.items()
            for key, found in _flat(part, f"{name}.{inner}".lstrip(".")).items()
        }
    return {name: value}
