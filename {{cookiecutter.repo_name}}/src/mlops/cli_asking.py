"""The stages that ask a served model, as commands: serve, try, predict, batch, drift."""

import json
import shlex
import sys
from pathlib import Path

import click

from .errors import UserError
from .serving.bundle_files import BUNDLE
from .team import Team

PATH = click.Path(path_type=Path)
SERVED = click.option("--bundle", type=PATH, default=BUNDLE)
PORT = click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 takes a free one.")


@click.command()
@SERVED
@PORT
def serve(bundle: Path, port: int) -> None:
    """Serve a bundle until Ctrl-C."""
    from . import local_server

    with local_server.server(bundle, port) as (url, process):
        click.echo(f"Serving {bundle} at {url}. Ask it with `make predict`; Ctrl-C ends it.")
        code = process.wait()
    raise UserError(f"The server ended by itself with exit code {code}.")


@click.command("try")
@SERVED
@PORT
def try_model(bundle: Path, port: int) -> None:
    """Try a bundle's model by hand, on a page in the browser, until Ctrl-C."""
    from . import page

    with page.server(bundle, port) as (url, process):
        click.echo(f"{url} is the page to try the model. Ctrl-C ends it.")
        code = process.wait()
    raise UserError(f"The page ended by itself with exit code {code}. Its log: {page.LOG}")


URL = click.option("--url", help="Address of the server or its gateway. Default: the server that `make serve` runs.")
TIMEOUT = click.option("--timeout", type=click.FloatRange(min=0, min_open=True), default=10, help="In seconds.")


@click.command()
@URL
@TIMEOUT
@click.option("--index", "indices", type=int, multiple=True, help="A test example of the prepared data; repeatable.")
@click.option("--rows", help="Rows typed as JSON: an object with values by column, or a list of these.")
@click.option("--json", "as_json", is_flag=True, help="Print the answers as JSON.")
@click.argument("files", nargs=-1)
@click.pass_obj
def predict(
    team: Team, url: str | None, timeout: float, indices: tuple[int, ...], rows: str | None, as_json: bool,
    files: tuple[str, ...],
) -> None:  # fmt: skip
    """Ask a served model; without more, about the repository's samples.

    FILES are pictures, folders of pictures, or CSV and Parquet files.
    """
    from . import client, local_server

    url = url or local_server.published()
    if not url:
        raise UserError("No server runs here. Start one with `make serve` in another terminal, or give --url.")
    schema = _schema()
    questions = [question for path in _paths(files) for question in client.from_file(path, schema)]
    questions += client.typed(rows, schema) if rows else []
    questions += client.test_examples(indices) if indices else []
    for question in questions:
        if question.done:
            click.echo(f"{question.name}: {question.done}", err=True)
    answers = client.ask(url, questions or client.samples(team.data.SAMPLES, schema), schema, timeout)
    click.echo(json.dumps(client.as_json(answers), indent=1) if as_json else client.table(answers))


def _paths(words: tuple[str, ...]) -> list[Path]:
    """Files as they are called. A word that is no file may hold several, as `make` hands them over."""
    found = []
    for word in words:
        path = Path(word).expanduser()
        try:
            parts = [path] if path.exists() else [Path(part).expanduser() for part in shlex.split(word)]
        except ValueError:  # a quote without its other
            parts = [path]
        found += parts if all(part.exists() for part in parts) else [path]
    return found


@click.command()
@URL
@TIMEOUT
@click.option("--out", type=PATH, help="The CSV file to write.")
@click.argument("file", type=PATH, required=False)
def batch(url: str | None, timeout: float, file: Path | None, out: Path | None) -> None:
    """Answer every row of a CSV or Parquet file, or every picture in a folder, into a CSV file.

    Asks the server that `make serve` runs, or else serves the bundle meanwhile. Stopped, it goes on when it is typed
    again.
    """
    from . import batch as batches

    if not file or not out:
        raise UserError("Say what is to be answered, and where to: make batch FILE=rows.csv OUT=answers.csv")
    batches.run(file.expanduser(), out.expanduser(), _schema(), url, timeout, lambda line: click.echo(line, err=True))


def _schema():
    from . import schema

    known = schema.read()
    if known is None:
        raise UserError(f"There is no {schema.FILE}, which says what the model takes. Make it with: make data")
    return known


@click.command()
@click.option("--window", type=click.FloatRange(min=0), default=0, help="Judge only what arrives in so many seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.argument("urls", nargs=-1)
def drift(window: float, as_json: bool, urls: tuple[str, ...]) -> None:
    """Check the served model for input drift.

    URLS are metrics pages (http://HOST:6000/metrics); without one, that of the server that `make serve` runs. Exit
    code 0: none; 1: the inputs have moved; 2: it cannot be said, and why.
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
