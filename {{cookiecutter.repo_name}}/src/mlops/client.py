"""Ask a served model: examples in, what it answered and which run answered out."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import requests

from . import dataset as datasets
from . import runs
from .errors import Refused, UserError
from .schema import Images, Schema, Table
from .sources import folders

PREDICTIONS = "/api/v1.0/predictions"


@dataclass(frozen=True)
class Question:
    """One example to ask about: where it is from, its inputs [*shape], and its label where that is known."""

    name: str
    inputs: np.ndarray
    label: str | None = None


@dataclass(frozen=True)
class Answer:
    """What the model said of one example, how sure it was, and the run that it came from."""

    name: str
    answer: str
    probability: float | None  # None of a number
    run: str | None
    label: str | None = None


def test_examples(indices: Sequence[int], data_file: Path = datasets.FILE) -> list[Question]:
    """Return test examples by their index in the prepared data."""
    dataset = datasets.load(data_file)
    test = dataset.splits["test"]
    wrong = [index for index in indices if not 0 <= index < len(test)]
    if wrong:
        raise UserError(f"There is no test example {wrong[0]}: they go from 0 to {len(test) - 1}.")
    decode = dataset.schema.outputs.decode
    return [Question(f"test example {index}", test.inputs[index], decode(test.targets[index])) for index in indices]


def samples(place: Path, schema: Schema, data_file: Path = datasets.FILE) -> list[Question]:
    """Return the samples of a repository; where they are of other data, some test examples.

    Args:
        place: a folder of pictures, whose names begin with their labels (7-test-4.png is a 7), or a CSV file.
    """
    try:
        found = _pictures(place, schema) if place.is_dir() else _rows(place, schema)
        if found and all(question.label in schema.outputs.names for question in found):
            return found
    except (UserError, Refused, OSError, ValueError):
        pass  # of other data than these were made for
    test = datasets.load(data_file).splits["test"]
    rows = np.unique(test.targets, return_index=True)[1] if schema.outputs.kind == "classes" else np.arange(len(test))
    return test_examples([int(row) for row in rows[:10]], data_file)


def picture(path: Path, schema: Schema, label: str | None = None) -> Question:
    """Return a picture in a file, made ready as `make data` does: its size, its channels.

    Raises:
        UserError: the file is missing or no picture, or the model takes none.
    """
    if not isinstance(schema.inputs, Images):
        raise UserError(f"The model takes no pictures: {schema.inputs.accepts}. Ask with --index.")
    if not path.is_file():
        raise UserError(f"There is no file {path}.")
    return Question(str(path), folders.load(path, schema.inputs), label)


def _pictures(folder: Path, schema: Schema) -> list[Question]:
    return [picture(path, schema, path.name.partition("-")[0]) for path in sorted(folder.glob("*.png"))]


def _rows(path: Path, schema: Schema) -> list[Question]:
    """The rows of a CSV file; what its column `label` says is what they are."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not isinstance(schema.inputs, Table):
        return []
    columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
    labels: Sequence[str | None] = columns.pop("label", [None] * len(rows))
    inputs = schema.inputs.encode(schema.inputs.parse(columns))
    return [
        Question(f"row {number}", one, label) for number, (one, label) in enumerate(zip(inputs, labels, strict=True), 1)
    ]


def ask(url: str, questions: Sequence[Question], schema: Schema, timeout: float = 10) -> list[Answer]:
    """Ask about all examples in one request.

    Args:
        url: of the server, or of its predictions (as a cluster's gateway has it).
        timeout: in seconds, for the connection and for each wait for bytes.

    Raises:
        UserError: no answer, an answer that is an error, or one that is not a classifier's.
    """
    address = _predictions(url)
    body = {"data": {"ndarray": [schema.inputs.as_request(question.inputs) for question in questions]}}
    try:
        response = requests.post(address, json=body, timeout=timeout)
    except requests.Timeout:
        hint = " Is it http, not https?" if address.startswith("https:") else ""
        raise UserError(
            f"{address} did not answer within {timeout:g} s.{hint} Give it longer with --timeout."
        ) from None
    except requests.RequestException as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(
            f"No server answers at {address} ({reason}). Start one with `make serve`, or give another --url."
        ) from None
    if not response.ok:
        raise UserError(f"{address} answered {response.status_code}: {_reason(response)}")
    return _answers(address, response, questions, schema)


def _predictions(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise UserError(f"{url} is not an address: it begins with http://, as http://127.0.0.1:9000 does.")
    address = url.rstrip("/")
    return address if address.endswith("/predictions") else address + PREDICTIONS


def _reason(response: requests.Response) -> str:
    try:
        return str(response.json()["status"]["info"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200] or response.reason


def _answers(address: str, response: requests.Response, questions: Sequence[Question], schema: Schema) -> list[Answer]:
    try:
        content = response.json()
        names, rows = content["data"]["names"], np.asarray(content["data"]["ndarray"], dtype=float)
        run = content.get("meta", {}).get("tags", {}).get("run")
        if rows.shape != (len(questions), len(names)):
            raise ValueError(f"answers of shape {rows.shape} for {len(questions)} examples and {len(names)} outputs")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{address} answered, but not as a model of this template does: {error!r}") from None
    numbers = schema.outputs.kind == "number"
    return [
        Answer(
            question.name,
            schema.outputs.decode(row[0]) if numbers else names[row.argmax()],
            None if numbers else float(row.max()),
            run,
            question.label,
        )
        for question, row in zip(questions, rows, strict=True)
    ]


def table(answers: Sequence[Answer]) -> str:
    """Return the answers as lines to read, the run below."""
    rows = [["example", "answer", "probability", ""]]
    for answer in answers:
        sure = "" if answer.probability is None else f"{answer.probability:.4f}"
        rows.append([answer.name, answer.answer, sure, _verdict(answer)])
    return "\n".join([*runs.aligned(rows), f"answered by run {answers[0].run or '(the answer does not say)'}"])


def _verdict(answer: Answer) -> str:
    if answer.label is None:
        return ""
    if answer.probability is None:
        return f"it is {answer.label}"
    return "right" if answer.label == answer.answer else f"wrong: it is {answer.label}"


def as_json(answers: Sequence[Answer]) -> list[dict]:
    """Return the answers as they are written into JSON."""
    return [asdict(answer) for answer in answers]
