"""Read the recorded runs, and rank them. Nothing else reads records.

Runs made here are in `outputs/runs/<uuid>/`. Where MLOPS_RUNS_PROJECT (OWNER/PROJECT) is set, as in the packaging
workflow, the Polyaxon server at POLYAXON_HOST is asked instead, and MLOPS_RUNS_FOLDER is its artifacts store, with a
folder for each run.
"""

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import project
from .errors import UserError
from .tracking import runs_folder

PROJECT_VARIABLE, FOLDER_VARIABLE = "MLOPS_RUNS_PROJECT", "MLOPS_RUNS_FOLDER"
PAGE = 100  # runs that the server is asked for at a time
RECORD = "run.plx.json"
CHECKPOINT, MODEL, ANSWERS = "checkpoint.pt", "model.pt", "validation.npz"  # among a run's outputs
SCORE = "score"
# What a metric can be; a score is an accuracy or an R²
RANGES = {SCORE: (-math.inf, 1), f"test_{SCORE}": (-math.inf, 1), "r2": (-math.inf, 1), "accuracy": (0, 1)}
# Inputs that say what a run came from; those that decide which runs are comparable come first
COMPARED = ("data_digest", "code_digest")
ORIGIN = ("data_source", "data_seed", "examples", "commit", "dirty", "mlops_digest", "libraries", "defaults")
LINEAGE = (*COMPARED, *ORIGIN)


@dataclass(frozen=True)
class Run:
    """One recorded run; `folder` holds its events and, under outputs/, its model."""

    uuid: str
    name: str
    status: str
    created_at: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    folder: Path

    @property
    def model(self) -> Path:
        return self.folder / "outputs" / MODEL

    @property
    def checkpoint(self) -> Path:
        return self.folder / "outputs" / CHECKPOINT

    @property
    def answers(self) -> Path:
        return self.folder / "outputs" / ANSWERS

    @property
    def made(self) -> str:
        """When it was made (UTC), to the minute."""
        return self.created_at[:16].replace("T", " ")

    def is_of(self, lineage: dict[str, str]) -> bool:
        """Return whether it was trained on this data with this code."""
        return all(self.inputs.get(name) == lineage[name] for name in COMPARED)


@dataclass(frozen=True)
class Ranking:
    """Runs of the data and the code of now, best first; those of others, newest first; and what ranks nowhere, why."""

    comparable: list[Run]
    others: list[Run]
    refused: list[str] = field(default_factory=list)

    @property
    def best(self) -> Run:
        """Return the best comparable run. UserError where there is none."""
        if self.comparable:
            return self.comparable[0]
        raise UserError(
            f"No run {place()} is of the data and the code of now: {len(self.others)} of others are not compared with "
            "them. Train one: make train. Or take one by its name: make best, then RUN=<uuid>"
        )


def recorded() -> list[Run]:
    """Return every run recorded, oldest first."""
    server = os.environ.get(PROJECT_VARIABLE)
    runs = _on_server(server) if server else _on_this_machine()
    return sorted(runs, key=lambda run: run.created_at)


def find_default(lineage: dict[str, str]) -> Run | None:
    """Return the newest run that succeeded with the code's own hyperparameters, on this data and with this code."""
    for run in reversed(recorded()):
        if run.status == "succeeded" and run.inputs.get("defaults") and run.is_of(lineage) and run.model.is_file():
            return run
    return None


def _on_this_machine() -> list[Run]:
    read = [_run(_content(record), record.parent) for record in runs_folder().glob(f"*/{RECORD}")]
    # The folder that is called by the uuid is the run; others of the same uuid are copies that somebody made of it.
    return [run for run in read if run.folder.name == run.uuid]


def _content(record: Path) -> dict:
    """Return a record's content; where it is cut short or no run, a record that says so."""
    damaged = {"uuid": record.parent.name, "status": "damaged"}
    try:
        content = json.loads(record.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return damaged
    parts = ("inputs", "outputs")
    whole = isinstance(content, dict) and isinstance(content.get("uuid"), str)
    return content if whole and all(isinstance(content.get(part) or {}, dict) for part in parts) else damaged


def _on_server(where: str) -> list[Run]:
    """Return the runs of a project (PROJECT, or OWNER/PROJECT) from the Polyaxon API."""
    missing = [name for name in ("POLYAXON_HOST", FOLDER_VARIABLE) if not os.environ.get(name)]
    if missing:
        raise UserError(
            f"{PROJECT_VARIABLE} says to ask Polyaxon for the runs of {where}: set {' and '.join(missing)} too, or "
            f"unset {PROJECT_VARIABLE} for the runs made here."
        )
    from polyaxon.client import RunClient
    from polyaxon.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    owner, _, name = where.rpartition("/")
    client = RunClient(owner=owner or project.OWNER, project=name, manual_exceptions_handling=True)
    found: list = []
    host = os.environ["POLYAXON_HOST"]
    try:
        while page := client.list(sort="created_at", limit=PAGE, offset=len(found)).results:
            found += page
    except ApiException as error:
        reason = f"there is no project {where}" if error.status == 404 else f"{error.status} {error.reason}"
        raise UserError(f"Polyaxon at {host} gave no runs: {reason}.") from None
    except HTTPError as error:
        raise UserError(f"No Polyaxon answers at {host} ({str(error).splitlines()[0][:200]}).") from None
    folder = Path(os.environ[FOLDER_VARIABLE])
    return [_run(json.loads(run.to_json()), folder / run.uuid) for run in found]


def _run(content: dict, folder: Path) -> Run:
    texts = {name: str(content.get(name) or "") for name in ("uuid", "name", "created_at")}
    status, parts = str(content.get("status") or "unknown"), [content.get(name) or {} for name in ("inputs", "outputs")]
    return Run(**texts, status=status, inputs=parts[0], outputs=parts[1], folder=folder)


def place() -> str:
    """Return where runs are looked for, in words."""
    server = os.environ.get(PROJECT_VARIABLE)
    return f"in the Polyaxon project {server}" if server else f"under {runs_folder()}"


def find(uuid: str) -> Run:
    """Return the one run whose uuid is, or begins with, `uuid`. UserError where there is none, or more than one."""
    matches = [run for run in recorded() if run.uuid.startswith(uuid)] if uuid else []
    matches = [run for run in matches if run.uuid == uuid] or matches  # a damaged copy's name may begin with it
    if len(matches) == 1:
        return matches[0]
    reason = f"{len(matches)} runs begin with it" if matches else "there is none"
    raise UserError(f"No single run {uuid!r} {place()}: {reason}. See them with: make best")


def rank(lineage: dict[str, str], metric: str = SCORE, mode: str = "max") -> Ranking:
    """Rank the runs that succeeded and have a model and the metric; the earlier of two equals comes first.

    Args:
        lineage: the data and the code of now, with the keys of COMPARED.

    Raises:
        UserError: no run has succeeded, or none of them has the metric.
    """
    succeeded = [run for run in recorded() if run.status == "succeeded" and run.model.is_file()]
    if not succeeded:
        raise UserError(f"There is no run that succeeded {place()}. Make one with: make train")
    reasons = {run.uuid: _implausible(run, metric) for run in succeeded}
    refused = [reason for reason in reasons.values() if reason]
    candidates = [run for run in succeeded if metric in run.outputs and not reasons[run.uuid]]
    if not candidates and refused:
        raise UserError("\n".join([f"No run that succeeded {place()} can be ranked.", *refused]))
    if not candidates:
        known = sorted({name for run in succeeded for name, value in run.outputs.items() if _is_number(value)})
        raise UserError(f"No run that succeeded has the metric {metric!r}. They have: {', '.join(known)}.")
    ranked = sorted(candidates, key=lambda run: run.outputs[metric], reverse=mode == "max")
    return Ranking(
        [run for run in ranked if run.is_of(lineage)],
        [run for run in reversed(candidates) if not run.is_of(lineage)],
        refused,
    )


def _implausible(run: Run, metric: str) -> str | None:
    """Say why a run ranks nowhere: a metric that ranks, or one of RANGES, is no number that it can be."""
    for name in (metric, *RANGES):
        value, (low, high) = run.outputs.get(name, 0.0), RANGES.get(name, (-math.inf, math.inf))
        if not _is_number(value) or not low <= value <= high:
            rule = "finite" if name not in RANGES else f"at most {high}" if low == -math.inf else f"{low} to {high}"
            return f"run {run.uuid[:12]} ranks nowhere: its {name} is {str(value)[:20]}, and a {name} is {rule}"
    return None


def table(ranking: Ranking, metric: str = SCORE) -> str:
    """Return the runs as lines to read: the comparable ones best first, and below a line the others."""
    shown = [*ranking.comparable, *ranking.others]
    metrics = list(dict.fromkeys([metric, SCORE, f"test_{SCORE}"]))
    columns = _columns(shown)
    rows = [["run", *metrics, *columns, "made (UTC)"]]
    for run in shown:
        values = [run.outputs.get(name) for name in metrics] + [run.inputs.get(name) for name in columns]
        rows.append([run.uuid[:12], *map(_cell, values), run.made])
    lines = aligned(rows)
    if ranking.others:
        note = "not compared: of other data or other code (taken only by name, RUN=<uuid>)"
        lines.insert(len(ranking.comparable) + 1, note)
    best = f"best by {metric}: {ranking.comparable[0].uuid}" if ranking.comparable else None
    return "\n".join([*lines, *ranking.refused, best or "no run of the data and the code of now: make train"])


def aligned(rows: list[list[str]]) -> list[str]:
    """Return rows of texts as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _columns(shown: list[Run]) -> list[str]:
    """Return the inputs that tell runs apart: numbers, and those that differ between them."""
    names = dict.fromkeys(name for run in shown for name in run.inputs if name not in LINEAGE)
    found = {name: [run.inputs.get(name) for run in shown] for name in names}
    return [
        name
        for name, of_each in found.items()
        if any(map(_is_number, of_each)) or of_each.count(of_each[0]) < len(of_each)
    ]


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _is_number(value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of 400 digits
        return False
