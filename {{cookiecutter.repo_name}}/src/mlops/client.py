"""Ask a served model: read examples from files, send them, and read the answers."""

import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import requests
from requests.adapters import HTTPAdapter, Retry

from . import dataset as datasets
from . import pictures, runs
from . import schema as schemas
from .columns import as_category, is_missing
from .errors import Refused, UserError
from .schema import Images, Schema, Table
from .serving.limits import BODY_BYTES, ROWS

PREDICTIONS = "/api/v1.0/predictions"


@dataclass(frozen=True)
class Question:
    """An example to ask about: its inputs [*shape], its label where that is known, and how a picture was changed."""

    name: str
    inputs: np.ndarray
    label: str | None = None
    done: str = ""


@dataclass(frozen=True)
class Answer:
    """The model's answer to an example, its probability, and the run that answered."""

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
    """Return a repository's samples; where they are of other data, test examples.

    Args:
        place: a folder of pictures, whose names begin with their labels (7-test-4.png is a 7), or a CSV file.
    """
    try:
        found = from_file(place, schema)
        if place.is_dir():
            found = [replace(each, label=Path(each.name).name.partition("-")[0], done="") for each in found]
        if found and all(question.label in schema.outputs.names for question in found):
            return found
    except (UserError, Refused, OSError, ValueError):
        pass  # of other data than these were made for
    test = datasets.load(data_file).splits["test"]
    rows = np.unique(test.targets, return_index=True)[1] if schema.outputs.kind == "classes" else np.arange(len(test))
    return test_examples([int(row) for row in rows[:10]], data_file)


def from_file(path: Path, schema: Schema) -> list[Question]:
    """Return the examples in a file: a picture, or rows of CSV or Parquet; of a folder, all of its pictures.

    Raises:
        UserError: it is missing, cannot be read, or does not hold what the model takes.
    """
    if isinstance(schema.inputs, Images):
        found = pictures.find(path) if path.is_dir() else [path]
        return [picture(each, schema) for each in found]
    if not path.is_file():
        raise UserError(f"There is no file {path}.")
    if path.suffix.lower() in pictures.SUFFIXES:
        picture(path, schema)  # says that the model takes none
    from .sources import table_files, tables  # pandas takes a second

    several = table_files.parts(path, request(), ROWS)
    frame, decimal, _ = next(several, (None, "", 0.0))
    if frame is None or not len(frame):
        raise UserError(f"{path} holds no rows below its header.")
    if next(several, None):
        command = f"make batch FILE={shlex.quote(str(path))} OUT=answers.csv"
        raise UserError(f"{path} has over {ROWS:,} rows. Type: {command}")
    label = _label_of(frame.columns, schema)
    try:
        inputs = schema.inputs.encode(tables.as_values(frame, schema.inputs, decimal))
    except Refused as refused:
        raise UserError(f"{path}: {refused}") from None
    return _rows(inputs, frame[label].tolist() if label else [None] * len(frame))


def picture(path: Path, schema: Schema) -> Question:
    """Return a picture in a file, made ready as the training pictures were.

    Raises:
        UserError: the file is missing or no picture, or the model takes none.
    """
    if not isinstance(schema.inputs, Images):
        raise UserError(f"The model takes no pictures: {schema.inputs.accepts}.")
    pixels, done = pictures.ask(path, schema.inputs)
    return Question(str(path), pixels, done=done)


def typed(text: str, schema: Schema) -> list[Question]:
    """Return rows that were typed as JSON: an object with values by column, or a list of such.

    Raises:
        UserError: it is not JSON, or no rows of this schema; the message names the row and the column.
    """
    example = """As in: make predict ROWS='{"age": 37, "city": "Oslo"}'"""
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise UserError(f"ROWS is not JSON: {error}. {example}") from None
    rows = rows if isinstance(rows, list) else [rows]
    if not isinstance(schema.inputs, Table) or not rows or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"ROWS is an object with values by column, or a list of these. {example}")
    label = _label_of(dict.fromkeys(name for row in rows for name in row), schema)
    labels = [row.pop(label, None) for row in rows]
    try:
        return _rows(schema.inputs.read_json(rows, "ROWS"), labels)
    except Refused as refused:
        raise UserError(f"{refused}") from None


def _rows(inputs: np.ndarray, labels: Sequence) -> list[Question]:
    known = [None if is_missing(label) else as_category(label) for label in labels]
    return [Question(f"row {number}", *each) for number, each in enumerate(zip(inputs, known, strict=True), 1)]


def _label_of(columns: Iterable[str], schema: Schema) -> str | None:
    """Return the column of labels, where there is one: the target's, or one called label."""
    inputs = {column.name for column in getattr(schema.inputs, "columns", ())}
    return next((name for name in columns if name in (request().target, "label") and name not in inputs), None)


def request() -> datasets.Request:
    """Return the request in schema.toml, by which the source was read: its target and its dialect."""
    return datasets.Request(**({"source": ""} | schemas.read_source()))


def per_request(schema: Schema) -> int:
    """Return how many examples one request may hold: a pixel takes up to 5 bytes in JSON, another value up to 25."""
    inputs = schema.inputs
    pixels = isinstance(inputs, Images) and (inputs.low, inputs.high) == (0, 255)
    return max(1, min(ROWS, BODY_BYTES // (inputs.size * (5 if pixels else 25))))


@dataclass(frozen=True)
class Output:
    """The model's output for one example: a probability for each class, or the number; and the run that gave it."""

    names: list[str]
    values: np.ndarray
    run: str | None

    def cells(self) -> tuple[str, str]:
        """Return the answer and its probability as they are written into a table; a number has none."""
        if len(self.values) == 1:
            return f"{self.values[0]:.6g}", ""
        return self.names[self.values.argmax()], f"{self.values.max():.4f}"


def ask(url: str, questions: Sequence[Question], schema: Schema, timeout: float = 10) -> list[Answer]:
    """Return the answers to all questions; the arguments and errors are those of `outputs`."""
    answers: list[Answer] = []
    found = outputs(url, [question.inputs for question in questions], schema, timeout)
    for question, output in zip(questions, found, strict=True):
        if schema.outputs.kind == "number":
            answer, probability = schema.outputs.decode(output.values[0]), None
        else:
            answer, probability = output.names[output.values.argmax()], float(output.values.max())
        answers.append(Answer(question.name, answer, probability, output.run, question.label))
    return answers


def outputs(
    url: str, inputs: Sequence[np.ndarray], schema: Schema, timeout: float = 10, patience: int = 0
) -> list[Output]:
    """Ask about all inputs, each [*shape], as many in a request as it may hold.

    Args:
        url: address of the server, or of its predictions (as a cluster's gateway has it).
        timeout: in seconds, for the connection and for each wait for bytes.
        patience: how often to ask a busy server again, each time later.

    Raises:
        UserError: no answer, an answer that is an error, or one that a model of this template does not give.
    """
    if not url.startswith(("http://", "https://")):
        raise UserError(f"{url} is not an address: it begins with http://, as http://127.0.0.1:9000 does.")
    address, most = url.rstrip("/"), per_request(schema)
    address = address if address.endswith("/predictions") else address + PREDICTIONS
    again = Retry(patience, connect=0, read=False, status_forcelist=[503], allowed_methods=None, backoff_factor=0.5,
                  raise_on_status=False)  # fmt: skip
    found: list[Output] = []
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=again))
        for first in range(0, len(inputs), most):
            asked = inputs[first : first + most]
            body = {"data": {"ndarray": [schema.inputs.as_request(each) for each in asked]}}
            found += _read(_post(session, address, body, timeout), len(asked))
    return found


def _post(session: requests.Session, address: str, body: dict, timeout: float) -> requests.Response:
    try:
        response = session.post(address, json=body, timeout=timeout)
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
    if response.ok:
        return response
    try:
        reason = str(response.json()["status"]["info"])
    except (ValueError, KeyError, TypeError):
        reason = response.text[:200] or response.reason
    raise UserError(f"{address} answered {response.status_code}: {reason}")


def _read(response: requests.Response, examples: int) -> list[Output]:
    try:
        content = response.json()
        names, rows = content["data"]["names"], np.asarray(content["data"]["ndarray"], dtype=float)
        run = content.get("meta", {}).get("tags", {}).get("run")
        if rows.shape != (examples, len(names)):
            raise ValueError(f"answers of shape {rows.shape} for {examples} examples and {len(names)} outputs")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{response.url} answered, but not as a model of this template does: {error!r}") from None
    return [Output(names, row, run) for row in rows]


def table(answers: Sequence[Answer]) -> str:
    """Return the answers as lines to read, the run below."""
    rows = [["example", "answer", "probability", ""]]
    for answer in answers:
        probability = "" if answer.probability is None else f"{answer.probability:.4f}"
        verdict = "right" if answer.label == answer.answer else f"wrong: it is {answer.label}"
        if answer.label is None or answer.probability is None:
            verdict = "" if answer.label is None else f"it is {answer.label}"
        rows.append([answer.name, answer.answer, probability, verdict])
    return "\n".join([*runs.aligned(rows), f"answered by run {answers[0].run or '(the answer does not say)'}"])


def as_json(answers: Sequence[Answer]) -> list[dict]:
    """Return the answers as they are written into JSON."""
    return [asdict(answer) for answer in answers]
