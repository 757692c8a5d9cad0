"""Data, training, the best run, its bundle, a server, its answers: each stage only where its inputs have changed."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

from . import bundle_source, client, pictures, runs
from . import dataset as datasets
from . import schema as schemas
from .errors import UserError
from .files import atomic_file
from .schema import Schema
from .serving.bundle_files import BUNDLE, read_metadata
from .team import Team

ANSWERS = Path("build/answers.json")
PICTURE = Path("build/answers.png")
SERVER_LOG = Path("build/serving.log")
Echo = Callable[[str], None]


def run(team: Team, echo: Echo) -> list[dict]:
    """Run every stage and return the answers for the samples; with nothing changed, those of the last time."""
    _stage(echo, "data", lambda: _data(team))
    dataset = datasets.load()
    _stage(echo, "train", lambda: _train(team, dataset, echo))
    best = runs.rank(team.lineage(dataset.origin)).best
    metric = dataset.schema.outputs.metric
    echo(f"best     run {best.uuid}: {metric} {best.outputs[runs.SCORE]:.4f} on validation")
    _check_better_than_trivial(best, dataset)
    _stage(echo, "package", lambda: _package(team, best))
    questions = client.samples(team.data.SAMPLES, dataset.schema)
    _stage(echo, "serve", lambda: _serve_and_ask(questions, dataset.schema))
    answers = [client.Answer(**answer) for answer in json.loads(ANSWERS.read_text(encoding="utf-8"))["answers"]]
    echo(f"predict\n{client.table(answers)}")
    served = read_metadata() or {}
    if {answer.run for answer in answers} != {best.uuid}:
        raise UserError(
            f"Run {answers[0].run} answered, and run {best.uuid} was packaged. Try again: make clean pipeline"
        )
    shown = f"; picture: {PICTURE}" if PICTURE.is_file() else ""
    echo(f"{metric} {served['metrics'][f'test_{runs.SCORE}']:.4f} on the test examples{shown}")
    _check_samples(answers, served["metrics"][f"test_{runs.SCORE}"])
    return client.as_json(answers)


def _check_better_than_trivial(best: runs.Run, dataset: datasets.Dataset) -> None:
    """Stop before a model is packaged that is no better than always answering the commonest class, or the mean."""
    trivial = dataset.schema.outputs.trivial_score(dataset.splits["validation"].targets)
    if best.outputs[runs.SCORE] <= trivial:
        what = "the commonest class" if dataset.schema.outputs.kind == "classes" else "the mean"
        raise UserError(
            f"The best model's {dataset.schema.outputs.metric} is {best.outputs[runs.SCORE]:.4f}, and always answering "
            f"{what} gives {trivial:.4f}: it learned nothing. Look at the data, its scale, its labels, the training. "
            f"To package it all the same: make package RUN={best.uuid}"
        )


def _check_samples(answers: list[client.Answer], score: float) -> None:
    """Stop where most samples are answered wrong, while the model is right on its own test examples."""
    known = [answer for answer in answers if answer.label is not None and answer.probability is not None]
    wrong = [answer for answer in known if answer.label != answer.answer]
    if len(wrong) > len(known) / 2 and score > 0.5:
        raise UserError(
            f"{len(wrong)} of {len(known)} samples are answered wrong, and {score:.0%} of the test examples right: the "
            "data is probably not what the samples are (transposed, inverted, on another scale). Look at the "
            "picture or the samples."
        )


def _stage(echo: Echo, name: str, work: Callable[[], str | None]) -> None:
    """Run a stage and say what it made and how long that took; it gives None when there was nothing to do."""
    began = time.perf_counter()
    made = work()
    echo(f"{name:8} {made or 'up to date'}" + (f"  ({time.perf_counter() - began:.1f} s)" if made else ""))


def _data(team: Team) -> str | None:
    asked, made = team.unfinished(), _prepared()
    # Data of another source than the schema's was prepared on purpose; it is up to date with that one.
    request = asked or (datasets.Request(**made.origin["request"]) if made else team.request())
    wanted = {"fingerprint": team.fingerprint(request), "seed": str(datasets.SEED)}
    if made and not asked and wanted.items() <= made.origin.items() and schemas.FILE.is_file():
        return None
    try:
        counts = team.prepare(request).counts
    except UserError as error:
        if not asked:
            raise
        raise UserError(
            f"{error}\n`make data` was last asked for this source. For {team.request().source}, type: make data"
        ) from None
    return f"{datasets.FILE}: {', '.join(f'{count} {name}' for name, count in counts.items())}; source {request.source}"


def _prepared() -> datasets.Dataset | None:
    """Return the data that is prepared; None where there is none, it is damaged, or the schema was edited since."""
    try:
        return datasets.load()
    except UserError:
        return None


def _train(team: Team, dataset: datasets.Dataset, echo: Echo) -> str | None:
    if runs.find_default(team.lineage(dataset.origin)):
        return None
    code = team.code()
    from . import trainer  # it imports torch

    return f"run {trainer.train(code, code.training.hyperparameters(), echo=lambda line: echo(f'         {line}'))}"


def _package(team: Team, best: runs.Run) -> str | None:
    if bundle_source.is_current(team.package, best):
        return None
    from . import bundle  # it imports torch

    bundle.package(team.code(), best)
    return str(BUNDLE)


def _serve_and_ask(questions: list[client.Question], schema: Schema) -> str | None:
    from . import local_server

    key, kind = _answers_key(questions), schema.inputs.kind
    if _asked_before() == key and (PICTURE.is_file() or kind != "images"):
        return None
    PICTURE.unlink(missing_ok=True)
    try:
        with SERVER_LOG.open("wb") as log, local_server.server(log=log.fileno(), publish=False) as (url, _):
            answers = client.ask(url, questions, schema)
    except UserError as error:
        raise UserError(f"{error} The server's log: {SERVER_LOG}") from None
    if kind == "images":
        with atomic_file(PICTURE) as draft:
            captions = [f"{answer.answer}  {answer.probability or 0:.1%}" for answer in answers]
            pictures.sheet([question.inputs for question in questions], captions).save(draft)
    with atomic_file(ANSWERS) as draft:
        draft.write_text(json.dumps({"key": key, "answers": client.as_json(answers)}, indent=1), encoding="utf-8")
    return f"{url} answered {len(answers)} examples over HTTP and was ended; its log: {SERVER_LOG}"


def _answers_key(questions: list[client.Question]) -> str:
    """Return the SHA-256 (hex) of all that an answer depends on: the bundle, with its digests, and the examples."""
    sha = hashlib.sha256(json.dumps(read_metadata(), sort_keys=True).encode())
    for question in questions:
        sha.update(question.name.encode() + question.inputs.tobytes())
    return sha.hexdigest()


def _asked_before() -> str | None:
    try:
        return json.loads(ANSWERS.read_text(encoding="utf-8"))["key"]
    except (OSError, ValueError, KeyError):
        return None
