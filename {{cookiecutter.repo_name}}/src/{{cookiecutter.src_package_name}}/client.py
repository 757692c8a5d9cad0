"""Ask a deployed model: digits in, what it answered and which run answered out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import requests
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from .data import DATA_FILE, SIDE, load
from .errors import UserError

PREDICTIONS = "/api/v1.0/predictions"
DARK = 128  # a background brighter than this is paper, not MNIST's black


@dataclass(frozen=True)
class Question:
    """One digit to ask about: where it is from, its pixels [28, 28] uint8, and its label where that is known."""

    name: str
    pixels: np.ndarray
    label: str | None = None


@dataclass(frozen=True)
class Answer:
    """What the model said of one digit, and the run it came from."""

    name: str
    digit: str
    probability: float
    run: str | None
    label: str | None = None


def read_image(path: Path) -> Question:
    """A PNG or JPEG of 28 by 28 grey pixels, white ink on black; nothing is resized, converted or inverted.

    Raises:
        UserError: the file is missing, no image, or another kind of image.
    """
    try:
        with Image.open(path) as image:
            size, mode, pixels = image.size, image.mode, np.asarray(image)
    except FileNotFoundError:
        raise UserError(f"There is no file {path}.") from None
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read as an image: {error}") from None
    if size != (SIDE, SIDE) or mode != "L":
        raise UserError(
            f"{path} is {size[0]} by {size[1]} pixels of mode {mode}; a digit is {SIDE} by {SIDE} of 8-bit grey "
            f"(mode L). Convert it: convert {path} -resize {SIDE}x{SIDE}! -colorspace gray -depth 8 digit.png"
        )
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    if border.mean() >= DARK:
        raise UserError(
            f"{path} has a bright background; a digit is white on black. Invert it: convert {path} -negate digit.png"
        )
    return Question(str(path), pixels)


def read_test_digits(indices: Sequence[int], data_file: Path = DATA_FILE) -> list[Question]:
    """Test digits by their index in the prepared data."""
    test = load(data_file).splits["test"]
    wrong = [index for index in indices if not 0 <= index < len(test)]
    if wrong:
        raise UserError(f"There is no test digit {wrong[0]}: they go from 0 to {len(test) - 1}.")
    return [Question(f"test digit {index}", test.images[index], str(test.labels[index])) for index in indices]


def ask(url: str, questions: Sequence[Question], timeout: float = 10) -> list[Answer]:
    """Ask for all digits in one request.

    Args:
        url: of the server, or of its predictions (as a cluster's gateway has it).
        timeout: in seconds, for the connection and for each wait for bytes.

    Raises:
        UserError: no answer, an answer that is an error, or one that is not a digit classifier's.
    """
    address = url if url.rstrip("/").endswith("/predictions") else url.rstrip("/") + PREDICTIONS
    body = {"data": {"ndarray": [question.pixels.reshape(-1).tolist() for question in questions]}}
    try:
        response = requests.post(address, json=body, timeout=timeout)
    except requests.Timeout:
        raise UserError(f"{address} did not answer within {timeout:g} s. Give it longer with --timeout.") from None
    except requests.RequestException as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(
            f"No server answers at {address} ({reason}). Start one with `make serve`, or give another --url."
        ) from None
    if not response.ok:
        raise UserError(f"{address} answered {response.status_code}: {_reason(response)}")
    return _answers(address, response, questions)


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
            raise ValueError(f"{rows.shape} probabilities for {len(questions)} digits of {len(names)} classes")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{address} answered, but not as a digit classifier does: {error!r}") from None
    return [
        Answer(question.name, names[row.argmax()], float(row.max()), run, question.label)
        for question, row in zip(questions, rows, strict=True)
    ]


def table(answers: Sequence[Answer]) -> str:
    """The answers as lines to read, the run below."""
    width = max(len(answer.name) for answer in answers)
    lines = [f"{'digit':{width}}  answer  probability"]
    for answer in answers:
        lines.append(f"{answer.name:{width}}  {answer.digit:>6}  {answer.probability:11.4f}{_verdict(answer)}")
    lines.append(f"answered by run {answers[0].run or '(the answer does not say)'}")
    return "\n".join(lines)


def _verdict(answer: Answer) -> str:
    if answer.label is None:
        return ""
    return "  right" if answer.label == answer.digit else f"  wrong: it is a {answer.label}"


def as_json(answers: Sequence[Answer]) -> list[dict]:
    return [asdict(answer) for answer in answers]


def picture(questions: Sequence[Question], answers: Sequence[Answer], scale: int = 4) -> Image.Image:
    """The digits side by side, each with its answer below."""
    side, caption = SIDE * scale, 28
    sheet = Image.new("L", (side * len(questions), side + caption), 255)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=16)
    for column, (question, answer) in enumerate(zip(questions, answers, strict=True)):
        sheet.paste(Image.fromarray(question.pixels).resize((side, side), Image.Resampling.NEAREST), (column * side, 0))
        centre = (column * side + side / 2, side + caption / 2)
        draw.text(centre, f"{answer.digit}  {answer.probability:.1%}", fill=0, font=font, anchor="mm")
    return sheet
