"""Ask a served model: examples in, what it answered and which run answered out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import requests

from . import dataset as datasets
from .errors import UserError
from .schema import Schema

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
    probability: float
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


def samples(folder: Path, schema: Schema, data_file: Path = datasets.FILE) -> list[Question]:
    """Return the sample pictures of a repository; where they are of other data, a test example of each class.

    The name of a sample begins with its label: 7-test-4.png is a 7.
    """
    from . import pictures

    paths = sorted(folder.glob("*.png"))
    labels = [path.name.partition("-")[0] for path in paths]
    if paths and set(labels) <= set(schema.outputs.names):
        try:
            return [
                Question(str(path), pictures.read(path, schema.inputs), label)
                for path, label in zip(paths, labels, strict=True)
            ]
        except UserError:
            pass
    test = datasets.load(data_file).splits["test"]
    _, first = np.unique(test.targets, return_index=True)
    return test_examples([int(index) for index in first[:10]], data_file)


def ask(url: str, questions: Sequence[Question], timeout: float = 10) -> list[Answer]:
    """Ask about all examples in one request.

    Args:
        url: of the server, or of its predictions (as a cluster's gateway has it).
        timeout: in seconds, for the connection and for each wait for bytes.

    Raises:
        UserError: no answer, an answer that is an error, or one that is not a classifier's.
    """
    address = _predictions(url)
    body = {"data": {"ndarray": [question.inputs.reshape(-1).tolist() for question in questions]}}
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
    return _answers(address, response, questions)


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


def _answers(address: str, response: requests.Response, questions: Sequence[Question]) -> list[Answer]:
    try:
        content = response.json()
        names, rows = content["data"]["names"], np.asarray(content["data"]["ndarray"], dtype=float)
        run = content.get("meta", {}).get("tags", {}).get("run")
        if rows.shape != (len(questions), len(names)):
            raise ValueError(f"{rows.shape} probabilities for {len(questions)} examples of {len(names)} classes")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{address} answered, but not as a classifier does: {error!r}") from None
    return [
        Answer(question.name, names[row.argmax()], float(row.max()), run, question.label)
        for question, row in zip(questions, rows, strict=True)
    ]


def table(answers: Sequence[Answer]) -> str:
    """Return the answers as lines to read, the run below."""
    width = max(len("example"), *(len(answer.name) for answer in answers))
    said = max(len("answer"), *(len(answer.answer) for answer in answers))
    lines = [f"{'example':{width}}  {'answer':>{said}}  probability"]
    for answer in answers:
        lines.append(f"{answer.name:{width}}  {answer.answer:>{said}}  {answer.probability:11.4f}{_verdict(answer)}")
    lines.append(f"answered by run {answers[0].run or '(the answer does not say)'}")
    return "\n".join(lines)


def _verdict(answer: Answer) -> str:
    if answer.label is None:
        return ""
    return "  right" if answer.label == answer.answer else f"  wrong: it is a {answer.label}"


def as_json(answers: Sequence[Answer]) -> list[dict]:
    """Return the answers as they are written into JSON."""
    return [asdict(answer) for answer in answers]
