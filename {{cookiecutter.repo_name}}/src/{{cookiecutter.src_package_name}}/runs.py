"""Where runs are recorded, and which was best.

A run is recorded by Polyaxon tracking: on this machine offline, in `outputs/runs/<uuid>/`; inside a Polyaxon job
online, by itself. The same two places are read: where RUNS_PROJECT (OWNER/PROJECT) is set, as in the packaging
workflow, the Polyaxon server at POLYAXON_HOST is asked, and RUNS_FOLDER is its artifacts store, a folder for each run.
"""

import csv
import fcntl
import json
import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any
from uuid import uuid4

from .errors import UserError
from .files import atomic_file

ROOT_VARIABLE = "POLYAXON_OFFLINE_ROOT"
PROJECT_VARIABLE, FOLDER_VARIABLE = "RUNS_PROJECT", "RUNS_FOLDER"
PAGE = 100  # runs that the server is asked for at a time
OWNER = "default"  # the owner of every project in Polyaxon's community edition
RECORD = "run.plx.json"
CHECKPOINT, MODEL = "checkpoint.pt", "model.pt"  # among a run's outputs
EVENTS_HEADER = "step|timestamp|metric"


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


def project() -> str:
    """The Polyaxon project of the runs made here: the repository's name, as its pyproject.toml has it.

    That file lies beside src/ in the repository and in its images. Where the package was installed without them, the
    distribution that it was installed from has the name.
    """
    settings = Path(__file__).resolve().parents[2] / "pyproject.toml"
    if settings.is_file():
        return tomllib.loads(settings.read_text(encoding="utf-8"))["project"]["name"]
    return metadata.packages_distributions()[__package__][0]


def root() -> Path:
    """The folder that holds runs/."""
    return Path(os.environ.setdefault(ROOT_VARIABLE, "outputs"))


def start(name: str, resume: str | None = None):
    """Begin to record a run, or go on with the one whose uuid is `resume`; gives Polyaxon's tracking run.

    The caller ends it with `log_stopped` or `log_failed` where it did not go well, then `end()`.
    """
    from polyaxon import settings, tracking
    from polyaxon.schemas import V1Statuses

    if settings.CLIENT_CONFIG.is_managed:  # inside a Polyaxon job: the platform has made the run already
        return tracking.init()
    uuid = resume or _given_uuid() or uuid4().hex
    run = tracking.init(
        owner=OWNER, project=project(), name=name, run_uuid=uuid, is_offline=True,
        # said here, because Polyaxon reads its own variable for it once, when it is imported
        artifacts_path=str(root() / "runs" / uuid),
        track_code=False, track_env=False, track_logs=False, collect_resources=False,
    )  # fmt: skip
    if resume:
        run.log_status(V1Statuses.RESUMING, reason="Resume", message="Resumed from its checkpoint")
        run.start()
    return run


def _given_uuid() -> str | None:
    """The uuid that whoever started this process has for its run, in Polyaxon's own variable."""
    return os.environ.get("POLYAXON_RUN_INSTANCE", "").rpartition(".")[2] or None  # OWNER.PROJECT.runs.UUID


def save(run) -> None:
    """Write the record of an offline run now: one that is killed later still says that it began, and with what."""
    if run._is_offline:
        run.persist_run(path=run.get_artifacts_path())


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a run's folder while the block writes into it; the system lets go of it also when the process is killed.

    Raises:
        UserError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        _lock(handle, folder.name)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, run: str) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(f"Run {run} is being trained now, by another process. Wait for it, or stop it.") from None
    except OSError:  # a file system that locks no folder, such as NFS
        pass


def recorded() -> list[Run]:
    """Every run recorded, oldest first."""
    project = _project()
    runs = _on_server(project) if project else _on_this_machine()
    return sorted(runs, key=lambda run: run.created_at)


def _project() -> str | None:
    """The Polyaxon project to ask a server about: RUNS_PROJECT, or a job's own; None for this machine's runs."""
    if os.environ.get(PROJECT_VARIABLE):
        return os.environ[PROJECT_VARIABLE]
    if os.environ.get("POLYAXON_IS_MANAGED") == "true":  # which the platform says in its jobs
        owner, project, *_ = os.environ["POLYAXON_RUN_INSTANCE"].split(".")  # OWNER.PROJECT.runs.UUID
        return f"{owner}/{project}"
    return None


def _on_this_machine() -> list[Run]:
    return [_run(_content(record), record.parent) for record in root().glob(f"runs/*/{RECORD}")]


def _content(record: Path) -> dict:
    """What a record says; Polyaxon writes it in place, so one that is cut short says that its run is damaged."""
    try:
        return json.loads(record.read_text(encoding="utf-8"))
    except ValueError:
        return {"uuid": record.parent.name, "status": "damaged"}


def _on_server(project: str) -> list[Run]:
    """The runs of a project (PROJECT, or OWNER/PROJECT), as the Polyaxon API gives them.

    Raises:
        UserError: nothing says where the server or its artifacts are, or it does not answer with runs.
    """
    missing = [name for name in ("POLYAXON_HOST", FOLDER_VARIABLE) if not os.environ.get(name)]
    if missing:
        raise UserError(
            f"Polyaxon is asked for the runs of {project}: set {' and '.join(missing)}, or unset {PROJECT_VARIABLE}."
        )
    from polyaxon.client import RunClient
    from polyaxon.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    owner, _, name = project.rpartition("/")
    client = RunClient(owner=owner or OWNER, project=name, manual_exceptions_handling=True)
    found: list = []
    host = os.environ["POLYAXON_HOST"]
    try:
        while page := client.list(sort="created_at", limit=PAGE, offset=len(found)).results:
            found += page
    except ApiException as error:
        reason = f"there is no project {project}" if error.status == 404 else f"{error.status} {error.reason}"
        raise UserError(f"Polyaxon at {host} gave no runs: {reason}.") from None
    except HTTPError as error:
        raise UserError(f"No Polyaxon answers at {host} ({str(error).splitlines()[0][:200]}).") from None
    folder = Path(os.environ[FOLDER_VARIABLE])
    return [_run(json.loads(run.to_json()), folder / run.uuid) for run in found]


def _run(content: dict, folder: Path) -> Run:
    return Run(
        uuid=content["uuid"],
        name=content.get("name") or "",
        status=content.get("status") or "unknown",
        created_at=content.get("created_at") or "",
        inputs=content.get("inputs") or {},
        outputs=content.get("outputs") or {},
        folder=folder,
    )


def place() -> str:
    """Where runs are looked for, in words."""
    project = _project()
    return f"in the Polyaxon project {project}" if project else f"under {root() / 'runs'}"


def find(uuid: str) -> Run:
    """The one run whose uuid is, or begins with, `uuid`."""
    matches = [run for run in recorded() if run.uuid.startswith(uuid)] if uuid else []
    if len(matches) == 1:
        return matches[0]
    reason = f"{len(matches)} runs begin with it" if matches else "there is none"
    raise UserError(f"No single run {uuid!r} {place()}: {reason}. See them with: make best")


def ranking(metric: str = "accuracy", mode: str = "max") -> list[Run]:
    """The runs that succeeded and have a model and the metric, best first; the earlier of two equals comes first."""
    succeeded = [run for run in recorded() if run.status == "succeeded" and run.model.is_file()]
    if not succeeded:
        raise UserError(f"There is no run that succeeded {place()}. Make one with: make train")
    candidates = [run for run in succeeded if _is_number(run.outputs.get(metric))]
    if not candidates:
        known = sorted({name for run in succeeded for name, value in run.outputs.items() if _is_number(value)})
        raise UserError(f"No run that succeeded has the metric {metric!r}. They have: {', '.join(known)}.")
    return sorted(candidates, key=lambda run: run.outputs[metric], reverse=mode == "max")


def best(metric: str = "accuracy", mode: str = "max") -> Run:
    return ranking(metric, mode)[0]


def table(ranking: list[Run], metric: str = "accuracy") -> str:
    """Runs as lines to read, in the order given; the last line names the first as the best."""
    columns = ["recipe", "batch_size", "epochs", "lr", "momentum", "seed"]
    metrics = list(dict.fromkeys([metric, "accuracy", "test_accuracy"]))
    rows = [["run", *metrics, *columns, "made (UTC)"]]
    for run in ranking:
        values = [run.outputs.get(name) for name in metrics] + [run.inputs.get(name) for name in columns]
        rows.append([run.uuid[:12], *map(_cell, values), run.created_at[:16].replace("T", " ")])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, f"best by {metric}: {ranking[0].uuid}"])


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def mend_events(folder: Path) -> None:
    """Take from a run's event files what a kill has cut short: Polyaxon reads none without its header."""
    for path in (folder / "events" / "metric").glob("*.plx"):
        lines = path.read_text(encoding="utf-8").splitlines()
        whole = [EVENTS_HEADER, *filter(_is_event, lines[1:])]
        if lines != whole:
            with atomic_file(path) as draft:
                draft.write_text("\n".join(whole), encoding="utf-8")  # Polyaxon begins each row with the line's end


def _is_event(line: str) -> bool:
    try:
        step, moment, value = line.split("|")
        int(step), datetime.fromisoformat(moment), float(value)
    except ValueError:
        return False
    return True


def recorded_steps(folder: Path, metric: str) -> set[int]:
    """The steps at which a metric was recorded, from the run's event file."""
    path = folder / "events" / "metric" / f"{metric}.plx"
    if not path.is_file():
        return set()
    with path.open(newline="", encoding="utf-8") as file:
        return {int(row["step"]) for row in csv.DictReader(file, delimiter="|")}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
