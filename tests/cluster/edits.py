"""Mistakes drawn by a seed over every key and value of a repository's files for the cluster, and valid edits."""

import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CONTEXT = Path("aisg-context")
AGAIN = "_again_"  # ends a key that the file's text has twice
NAMES = (
    "name",
    "generateName",
    "namespace",
    "claimName",
    "secretName",
    "serviceAccountName",
    "key",
    "app.kubernetes.io/name",
)
AMOUNTS = (
    "cpu", "memory", "storage", "sizeLimit", "requests.cpu", "requests.memory", "limits.memory", "duration", "limit",
    "deleteDelayDuration", "containerPort", "port", "targetPort", "periodSeconds", "activeDeadlineSeconds", "timeout",
    "minReplicas", "maxReplicas", "averageUtilization", "maxUnavailable", "numRuns", "maxRetries",
)  # fmt: skip
REFERENCES = (
    "name", "claimName", "secretName", "serviceAccountName", "template", "entrypoint", "volumeName", "targetPort",
    "port", "pathRef", "metric",
)  # fmt: skip
Field = tuple[str | int, ...]  # the keys and numbers that lead to a value, the first of them the document's number


@dataclass
class Edit:
    """One file of a repository as somebody has left it."""

    kind: str
    path: str  # in the repository
    field: Field
    text: str

    @property
    def part(self) -> str:
        return Path(self.path).relative_to(CONTEXT).parts[0]

    def __str__(self) -> str:
        return f"{self.kind}: {Path(self.path).relative_to(CONTEXT)} {'.'.join(map(str, self.field))}"


def files(repository: Path, part: str) -> dict[str, list]:
    """Return the documents of each file, the patches of kustomizations read too. Istio's gateway has no CRD here."""
    found = {}
    for path in sorted((repository / CONTEXT / part).rglob("*.yml")):
        documents = list(yaml.load_all(path.read_text(encoding="utf-8"), yaml.CSafeLoader))  # fast: they are read often
        for patch in (one for document in documents for one in document.get("patches", [])):
            patch["patch"] = yaml.safe_load(patch["patch"])
        if path.name != "gateway.yml":
            found[str(path.relative_to(repository))] = documents
    return found


def text_of(documents: list) -> str:
    """Return a file's text."""
    documents = copy.deepcopy(documents)
    for patches in (one["patches"] for one in documents if isinstance(one.get("patches"), list)):
        for patch in patches:
            if isinstance(patch, dict) and isinstance(patch.get("patch"), list):
                patch["patch"] = yaml.safe_dump(patch["patch"], sort_keys=False)
    return yaml.dump_all(documents, Dumper=yaml.CSafeDumper, sort_keys=False).replace(AGAIN, "")


def fields(value: Any, before: Field = ()) -> Iterator[Field]:
    """Yield each key and each item of a document."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*before, key)
        if isinstance(inner, dict | list):
            yield from fields(inner, (*before, key))


def at(value: Any, field: Field) -> Any:
    for key in field:
        value = value[key]
    return value


def misspelt(draw: random.Random, word: str) -> str:
    place = draw.randrange(max(len(word) - 1, 1))
    return draw.choice([word[:place] + word[place + 1 :], word[:place] + word[place] + word[place:], word + "x"])


# Each kind of mistake: where it can be made (the mapping or list, and the key), and how.
Kind = tuple[Callable[[Any, Any], bool], Callable[[random.Random, Any, Any], None]]


def in_mapping(owner: Any, key: Any) -> bool:
    return isinstance(owner, dict) and isinstance(key, str)


def is_word(owner: Any, key: Any) -> bool:
    return isinstance(owner[key], str) and owner[key] != ""


def has_keys(owner: Any, key: Any) -> bool:
    return in_mapping(owner, key) and isinstance(owner[key], dict) and owner[key] != {}


def misspell_key(draw: random.Random, owner: dict, key: str) -> None:
    items = [(misspelt(draw, name) if name == key else name, value) for name, value in owner.items()]
    owner.clear()
    owner.update(items)


def change_type(draw: random.Random, owner: Any, key: Any) -> None:
    others = ["word", 7, True, ["word"], {"word": "word"}]
    owner[key] = draw.choice([value for value in others if type(value) is not type(owner[key])])


def move_up(draw: random.Random, owner: dict, key: str) -> None:
    name = draw.choice(list(owner[key]))
    owner[name] = owner[key].pop(name)


def repeat_key(draw: random.Random, owner: dict, key: str) -> None:
    items = [
        pair for name, value in owner.items() for pair in [(name, value), (name + AGAIN, value)][: 1 + (name == key)]
    ]
    owner.clear()
    owner.update(items)


def exchange(draw: random.Random, owner: dict, key: str) -> None:
    other = draw.choice([name for name in owner if name != key])
    owner[key], owner[other] = owner[other], owner[key]


def put(*values: Any) -> Callable[[random.Random, Any, Any], None]:
    """Return how one of these values gets into a place."""

    def run(draw: random.Random, owner: Any, key: Any) -> None:
        owner[key] = draw.choice([value for value in values if value != owner[key]])

    return run


def misspell_value(draw: random.Random, owner: Any, key: Any) -> None:
    owner[key] = misspelt(draw, owner[key])


KINDS: dict[str, Kind] = {
    "misspelt key": (in_mapping, misspell_key),
    "left out": (lambda owner, key: True, lambda draw, owner, key: owner.pop(key)),
    "another type": (lambda owner, key: True, change_type),
    "misspelt value": (is_word, misspell_value),
    "impossible number": (lambda owner, key: isinstance(owner[key], int), put(-1, 10**10, 1.5)),
    "one level up": (has_keys, move_up),
    "repeated item": (
        lambda owner, key: isinstance(owner, list),
        lambda draw, owner, key: owner.append(copy.deepcopy(owner[key])),
    ),
    "repeated key": (in_mapping, repeat_key),
    "exchanged values": (lambda owner, key: in_mapping(owner, key) and len(owner) > 1, exchange),
    "not a name": (
        lambda owner, key: key in NAMES and is_word(owner, key), put("Not_A_Name", "a" * 254, "with space", "-dash")
    ),
    "not an amount": (
        lambda owner, key: key in AMOUNTS and not isinstance(owner[key], dict), put("12 Gb", "1.5.2", "many", "-")
    ),
    "empty": (lambda owner, key: True, put(None, "", [], {})),
    "wrong reference": (
        lambda owner, key: is_word(owner, key) and ("{{" in owner[key] or key in REFERENCES), misspell_value
    ),
}  # fmt: skip


def drawn(repository: Path, seed: int, each: dict[str, int]) -> list[Edit]:
    """Return so many mistakes of each kind for each part of aisg-context, each at a place of its own."""
    draw, edits = random.Random(seed), []
    for part, count in each.items():
        known = files(repository, part)
        places = [(path, field) for path, found in known.items() for field in fields(found) if len(field) > 1]
        for kind, (fits, spoil) in KINDS.items():
            fitting = [(path, field) for path, field in places if fits(at(known[path], field[:-1]), field[-1])]
            for path, field in draw.sample(fitting, min(count, len(fitting))):
                documents = copy.deepcopy(known[path])
                spoil(draw, at(documents, field[:-1]), field[-1])
                edits.append(Edit(kind, path, field, text_of(documents)))
    return edits


def valid(repository: Path) -> list[Edit]:
    """Return the files as the edits of valid_edits.yml leave them."""
    table = yaml.safe_load(Path(__file__).with_name("valid_edits.yml").read_text(encoding="utf-8"))
    edits = []
    for place, changes in [(place, changes) for place, found in table.items() for changes in found]:
        name, number = place.split()
        documents = files(repository, Path(name).parts[0])[str(CONTEXT / name)]
        for keys, value in changes.items():
            field = (int(number), *(int(key) if key.isdecimal() else key for key in keys.split(".") if key))
            owner, old = at(documents, field[:-1]), at(documents, field)
            if isinstance(old, dict):
                old.update(value)
            else:
                owner[field[-1]] = old + value if isinstance(old, list) else value
        edits.append(Edit("valid", str(CONTEXT / name), (int(number), *changes), text_of(documents)))
    return edits
