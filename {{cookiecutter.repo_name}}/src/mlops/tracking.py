"""Record a run with Polyaxon: on this machine offline, in `outputs/runs/<uuid>/`; in a job of the platform, online.

A job is one only when the Polyaxonfile that started it says so, with MLOPS_RUN. The shell of a workspace on the cluster
holds Polyaxon's own variables too, and these are about the workspace's run, not about one that is trained in it.
"""

import os
from contextlib import AbstractContextManager
from pathlib import Path
from uuid import uuid4

from . import files, project

RUN_VARIABLE, NAME_VARIABLE = "MLOPS_RUN", "MLOPS_RUN_NAME"


def runs_folder() -> Path:
    """Return the folder that holds a folder for each run made here."""
    return project.outputs() / "runs"


def start(name: str, resume: str | None = None):
    """Begin to record a run, or go on with the one whose uuid is `resume`; return Polyaxon's tracking run.

    The caller ends it with `log_stopped` or `log_failed` where it did not go well, then `end()`.
    """
    own = os.environ.get(RUN_VARIABLE, "").replace("-", "")
    if not _is_platform_job(own):
        for variable in [name for name in os.environ if name.startswith("POLYAXON_")]:
            del os.environ[variable]  # Polyaxon reads them when it is imported, below
    from polyaxon import tracking
    from polyaxon.schemas import V1Statuses

    if _is_platform_job(own):  # the platform has made the run already
        return tracking.init()
    uuid = resume or own or uuid4().hex
    run = tracking.init(
        owner=project.OWNER, project=project.name(), name=name, run_uuid=uuid, is_offline=True,
        artifacts_path=str(runs_folder() / uuid),
        track_code=False, track_env=False, track_logs=False, collect_resources=False,
    )  # fmt: skip
    if resume:
        run.log_status(V1Statuses.RESUMING, reason="Resume", message="Resumed from its checkpoint")
        run.start()
    return run


def _is_platform_job(own: str) -> bool:
    """Return whether Polyaxon manages this process, for the run that the Polyaxonfile names."""
    instance = os.environ.get("POLYAXON_RUN_INSTANCE", "").rpartition(".")[2]  # OWNER.PROJECT.runs.UUID
    managed = os.environ.get("POLYAXON_IS_MANAGED") == "true"
    return managed and bool(own) and instance.replace("-", "") == own


def save(run) -> None:
    """Write the record of an offline run now: one that is killed later still says that it began, and with what."""
    if run._is_offline:
        run.persist_run(path=run.get_artifacts_path())


def exclusive_lock(folder: Path) -> AbstractContextManager[None]:
    """Lock a run's folder while a block writes into it."""
    busy = f"Run {folder.name} is being trained now, by another process. Wait for it, or stop it."
    return files.exclusive_lock(folder, busy)


def forget_metrics(folder: Path) -> None:
    """Remove a run's event files, which a kill may have cut short: whoever resumes it records its metrics again."""
    for path in (folder / "events" / "metric").glob("*.plx"):
        path.unlink()
