"""Answer all of a table, or all pictures of a folder, into a CSV file, a request at a time; resume a stopped batch.

Until it is whole, the output is in the folder OUT.partial. After each part that was answered, its state says how many
bytes of it count: a kill in between leaves bytes that do not, and the same part is asked about again.
"""

import csv
import hashlib
import json
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO

import numpy as np
import pandas

from . import client, local_server, pictures
from .errors import Refused, UserError
from .files import atomic_file, exclusive_lock
from .schema import Images, Schema, Table
from .sources import folders, table_files, tables

ADDED = ("answer", "probability", "error")  # columns, behind those of the input
SERVER_LOG = Path("build/serving.log")
PROGRESS_SECONDS = 3.0
PATIENCE = 6  # times that a busy server is asked again: half a minute


@dataclass
class Row:
    """A row of the input: its cells as they are, and its inputs [*shape], or why there are none."""

    cells: list
    inputs: np.ndarray | None
    error: str = ""


@dataclass
class State:
    """The progress of a batch, and the source and schema (digests) that it is of."""

    source: str
    schema: str
    parts: int = 0
    rows: int = 0
    refused: int = 0
    size: int = 0  # of the output, in bytes
    run: str | None = None  # that answered


def run(source: Path, output: Path, schema: Schema, url: str | None, timeout: float, echo: Callable[[str], None]):
    """Answer `source` into `output`, with a line of progress now and then; go on where an earlier one was stopped.

    Raises:
        UserError: the source cannot be read, the server does not answer, `output` is there already, or what was begun
            is of another source, schema or run; the message says what to type.
    """
    if not source.exists():
        raise UserError(f"There is no file {source}.")
    partial = output.with_name(f"{output.name}.partial")
    if output.exists():
        if not (partial / "answers.csv").exists():  # killed when it was finished
            shutil.rmtree(partial, ignore_errors=True)
        raise UserError(f"{output} is there already. Give another OUT=, or remove it: rm {shlex.quote(str(output))}")
    with exclusive_lock(partial, f"{output} is being written now, by another process. Wait for it, or stop it."):
        fingerprint = tables.fingerprint(source) if source.is_file() else folders.fingerprint(source)
        digest = hashlib.sha256(json.dumps(schema.as_dict(), sort_keys=True).encode()).hexdigest()
        state = _begun(partial, State(fingerprint, digest))
        if state.rows:
            echo(f"{state.rows:,} rows are answered already; going on")
        try:
            with _server(url) as address:
                _answer(source, partial / "answers.csv", state, schema, address, timeout, echo)
        except BaseException:
            if state.parts:
                echo(f"Stopped; {state.rows:,} rows are answered and kept. To go on, type the same again")
            else:
                shutil.rmtree(partial)
            raise
        (partial / "answers.csv").replace(output)
        shutil.rmtree(partial)
    refused = f"; {state.refused:,} cannot be answered, and their column error says why" if state.refused else ""
    echo(f"{output}: {state.rows:,} rows, answered by run {state.run}{refused}")


def _answer(source: Path, path: Path, state: State, schema: Schema, url: str, timeout: float, echo: Callable):
    header, parts = _table(source, schema) if source.is_file() else _folder(source, schema)
    if clash := [name for name in header if name in ADDED]:
        raise UserError(f"{source} has a column {clash[0]}, as the output will. Rename it.")
    told = time.monotonic()
    with path.open("a", newline="", encoding="utf-8", errors="surrogateescape") as file:
        file.truncate(state.size)
        if not state.size:
            csv.writer(file).writerow([*header, *ADDED])
        for rows, share in islice(parts, state.parts, None):
            asked = [row.inputs for row in rows if row.inputs is not None]
            outputs = client.outputs(url, asked, schema, timeout, PATIENCE)
            _check_run(path.parent, state, {output.run for output in outputs})
            _write(file, rows, outputs)
            state.parts, state.rows, state.size = state.parts + 1, state.rows + len(rows), path.stat().st_size
            state.refused += len(rows) - len(asked)
            with atomic_file(path.parent / "state.json") as draft:
                draft.write_text(json.dumps(asdict(state)), encoding="utf-8")
            if time.monotonic() - told >= PROGRESS_SECONDS:
                told = time.monotonic()
                echo(f"{state.rows:,} rows answered, {share:.0%}")


def _write(file: IO[str], rows: list[Row], outputs: list[client.Output]) -> None:
    left, writer = iter(outputs), csv.writer(file)
    for row in rows:
        output = next(left) if row.inputs is not None else None
        answer, probability = ("", "") if output is None else output.cells()
        writer.writerow([*row.cells, answer, probability, row.error])
    file.flush()


def _check_run(partial: Path, state: State, runs: set[str | None]) -> None:
    """Check that one run answers everything: another model's answers would be mistaken for its own."""
    before = {state.run} if state.rows > state.refused else set()
    if len(before | runs) > 1:
        named = ", ".join(sorted(map(str, runs - before or runs)))
        raise UserError(
            f"Run {named} answers now, and the {state.rows:,} rows before were answered by run {state.run}. "
            f"Serve that run again (make package RUN=...), or begin anew: {_remove(partial)}"
        )
    state.run = next(iter(runs), state.run)


def _begun(partial: Path, wanted: State) -> State:
    """Return the state that was saved, or `wanted` when none was. UserError: it is of another source or schema."""
    try:
        state = State(**json.loads((partial / "state.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return wanted
    for what in ("source", "schema"):
        if getattr(state, what) != getattr(wanted, what):
            raise UserError(
                f"{partial} holds {state.rows:,} answers to another {'FILE' if what == 'source' else what}. Go on with "
                f"that one, give another OUT=, or begin anew: {_remove(partial)}"
            )
    return state


def _remove(partial: Path) -> str:
    return f"rm -r {shlex.quote(str(partial))}"


@contextmanager
def _server(url: str | None) -> Iterator[str]:
    """Give the address of the server to ask: the given one, the one that runs here, or one started for this batch."""
    if known := url or local_server.published():
        yield known
        return
    SERVER_LOG.parent.mkdir(exist_ok=True)
    with SERVER_LOG.open("wb") as log, local_server.server(log=log.fileno(), publish=False) as (address, _):
        yield address


Parts = Iterator[tuple[list[Row], float]]


def _folder(folder: Path, schema: Schema) -> tuple[list[str], Parts]:
    if not isinstance(schema.inputs, Images):
        raise UserError(f"{folder} is a folder, and the model takes no pictures: {schema.inputs.accepts}.")
    paths, most = pictures.find(folder), client.per_request(schema)

    def parts() -> Parts:
        for first in range(0, len(paths), most):
            rows = [_picture(path, folder, schema) for path in paths[first : first + most]]
            yield rows, min(1.0, (first + most) / len(paths))

    return ["picture"], parts()


def _picture(path: Path, folder: Path, schema: Schema) -> Row:
    name = str(path.relative_to(folder))
    try:
        return Row([name], client.picture(path, schema).inputs)
    except UserError as error:
        return Row([name], None, str(error))


def _table(path: Path, schema: Schema) -> tuple[list[str], Parts]:
    if isinstance(schema.inputs, Images):
        raise UserError(f"{path} is a file, and the model takes pictures: give a folder of them.")
    several = table_files.parts(path, client.request(), client.per_request(schema))
    first = next(several, None)
    if first is None or not len(first[0]):
        raise UserError(f"{path} holds no rows below its header.")
    header = [str(name) for name in first[0].columns]
    if absent := [column.name for column in schema.inputs.used if column.name not in header]:
        raise UserError(f"{path} has no column {', '.join(absent[:5])}. There are: {', '.join(header[:20])}")
    parts = ((_rows(frame, decimal, schema.inputs), share) for frame, decimal, share in chain([first], several))
    return header, parts


def _rows(frame: pandas.DataFrame, decimal: str, table: Table) -> list[Row]:
    cells = frame.astype(object).where(frame.notna(), "").to_numpy().tolist()
    values = tables.as_values(frame, table, decimal)
    try:
        return [Row(*each) for each in zip(cells, table.encode(values), strict=True)]
    except Refused:
        return [
            _row(one, {name: column[number : number + 1] for name, column in values.items()}, table)
            for number, one in enumerate(cells)
        ]


def _row(cells: list, values: dict, table: Table) -> Row:
    try:
        return Row(cells, table.encode(values)[0])
    except Refused as refused:
        return Row(cells, None, str(refused).removeprefix("row 1, "))
