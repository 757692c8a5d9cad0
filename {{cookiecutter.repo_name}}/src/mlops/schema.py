"""What goes into the model and what comes out: the only place where sizes, classes and ranges are written.

`make data` infers a schema and writes `schema.toml`, which is committed and which people edit. From there on it travels
with the data (`dataset.py`) and with the model (a bundle's metadata.json). Needs numpy; reading TOML is Python's own.
"""

import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from .errors import UserError
from .images import Images

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

    def __post_init__(self) -> None:
        texts = isinstance(self.classes, tuple) and all(isinstance(name, str) for name in self.classes)
        if not texts or len(set(self.classes)) < len(self.classes):
            raise ValueError("classes are texts in quotes, each only once")

    @classmethod
    def infer(cls, labels: Iterable) -> "Classes":
        """Return the different labels, numbers before words, each in its order."""
        names = {str(label) for label in labels}
        return cls(tuple(sorted(names, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))))

    def with_choices_of(self, known: "Classes") -> "Classes":
        """Return these classes in the order of `known`, if they are the same ones: people may change the order."""
        return known if set(known.classes) == set(self.classes) else self

    @property
    def names(self) -> list[str]:
        """The names of the model's answers."""
        return list(self.classes)

    def encode(self, labels: Iterable, where: str) -> np.ndarray:
        """Return labels as numbers of classes, int64 [N].

        Raises:
            UserError: a label is not one of the classes.
        """
        numbers = {name: number for number, name in enumerate(self.classes)}
        texts = [str(label) for label in labels]
        unknown = sorted(set(texts) - numbers.keys())
        if unknown:
            raise UserError(
                f"{where}: mislabeled: {', '.join(unknown[:5])} {'is' if len(unknown) == 1 else 'are'} not among the "
                f"classes, which are {', '.join(self.classes[:20])}{' ...' if len(self.classes) > 20 else ''}."
            )
        return np.array([numbers[text] for text in texts], dtype=np.int64)

    def decode(self, target: float) -> str:
        """Return a target as people write it."""
        return self.classes[int(target)]

    def score(self, answers: np.ndarray, targets: np.ndarray) -> float:
        """Return the share of answers [N, classes] whose largest value is at the target [N]: accuracy."""
        return float((answers.argmax(axis=1) == targets).mean())


KINDS_OF_INPUTS = {kind.kind: kind for kind in (Images,)}
KINDS_OF_OUTPUTS = {kind.kind: kind for kind in (Classes,)}


@dataclass(frozen=True)
class Schema:
    """The inputs and the outputs of a model."""

    inputs: Images
    outputs: Classes

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Return the schema as it is written into TOML and JSON."""
        parts = {"inputs": self.inputs, "outputs": self.outputs}
        return {name: {"kind": part.kind, **_plain(asdict(part))} for name, part in parts.items()}

    def with_choices_of(self, known: "Schema") -> "Schema":
        """Return this schema, inferred from a source, with what people may choose as `known` has it."""
        return Schema(self.inputs.with_choices_of(known.inputs), self.outputs.with_choices_of(known.outputs))

    def differences(self, other: "Schema") -> list[str]:
        """Return each field that `other` has otherwise, as `outputs.classes: ["a"], not ["b"]`; empty when alike."""
        ours, theirs = _flat(self.as_dict()), _flat(other.as_dict())
        fields = dict.fromkeys([*ours, *theirs])
        return [f"{name}: {ours.get(name)!r}, not {theirs.get(name)!r}" for name in fields if ours.get(name) != theirs.get(name)]


def from_dict(content: Any, where: str) -> Schema:
    """Read what `as_dict` gave.

    Raises:
        UserError: a part or a field is missing, unknown or of another type; the message names it.
    """
    if not isinstance(content, dict) or content.keys() != {"inputs", "outputs"}:
        raise UserError(f"{where} must hold the two parts [inputs] and [outputs], and nothing else.")
    parts = {}
    for name, kinds in (("inputs", KINDS_OF_INPUTS), ("outputs", KINDS_OF_OUTPUTS)):
        fields = dict(content[name]) if isinstance(content[name], dict) else {}
        kind = fields.pop("kind", None)
        if kind not in kinds:
            raise UserError(f"{where}: {name}.kind is {kind!r}; it is one of: {', '.join(kinds)}.")
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
        try:
            parts[name] = kinds[kind](**values)
        except (TypeError, ValueError) as error:
            known = ", ".join(kinds[kind].__dataclass_fields__)
            raise UserError(f"{where}: [{name}]: {error}. A part of kind {kind} has: {known}.") from None
    return Schema(**parts)


def read(path: Path = FILE) -> Schema | None:
    """Read schema.toml; None where there is none yet.

    Raises:
        UserError: it is not TOML, or not a schema.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}. An earlier one: git checkout {path}") from None
    return from_dict(content, str(path))


def write(schema: Schema, path: Path = FILE) -> None:
    """Write schema.toml."""
    import tomli_w  # here, because serving reads schemas and never writes one

    path.write_text(f"{HEADER}\n{tomli_w.dumps(schema.as_dict())}", encoding="utf-8")


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Tuples as lists, as TOML and JSON give them back."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


def _flat(parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {f"{part}.{name}": value for part, fields in parts.items() for name, value in fields.items()}
