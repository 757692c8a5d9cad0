"""One run of a Polyaxonfile as processes of this machine: planned, started, watched, ended."""

import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from .. import processes, project
from ..errors import UserError
from . import compilation

OUTPUTS = project.outputs()
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
# In the shell, these were set for another run or by another launcher; a run here gets its own.
FOREIGN = re.compile(r"(POLYAXON|MLOPS_RUNS)_.*|RANK|WORLD_SIZE|LOCAL_RANK|MASTER_ADDR|MASTER_PORT")


@dataclass
class Process:
    """A container of a run: its command, and what it adds to the environment."""

    command: list[str]
    environment: dict[str, str]


@dataclass
class Run:
    """One run: its processes (more than one when it is distributed), and how it went."""

    name: str
    uuid: str
    parameters: dict[str, object]
    processes: list[Process]
    status: str = "pending"
    seconds: float = 0.0
    outputs: dict[str, Any] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        return OUTPUTS / "logs" / f"{self.name}.{self.uuid[:12]}.log"

    def read_outputs(self) -> None:
        record = OUTPUTS / "runs" / self.uuid / "run.plx.json"
        with suppress(OSError, ValueError):  # none, or cut short by a kill
            self.outputs = json.loads(record.read_text(encoding="utf-8")).get("outputs") or {}


# From an operation to processes


def plan(operation, name: str, parameters: dict[str, object]) -> Run:
    """Plan one run of an operation: compiled by Polyaxon, with the paths of this machine."""
    run_uuid, own = uuid.uuid4().hex, project.name()
    with compilation.explained(name):
        run = compilation.resolve(operation, run_uuid, own).run.to_dict()
    tracking = {
        "POLYAXON_IS_OFFLINE": "true",
        "POLYAXON_OFFLINE_ROOT": str(OUTPUTS),
        "POLYAXON_RUN_INSTANCE": f"{project.OWNER}.{own}.runs.{run_uuid}",
        "MLOPS_OUTPUTS": str(OUTPUTS),
        "MLOPS_RUN": run_uuid,
        "MLOPS_RUN_NAME": name,
        "PYTHONPATH": str(project.ROOT / "src"),
    }
    replicas = _replicas(run, tracking) if run["kind"] == "pytorchjob" else [_process(run, tracking)]
    return Run(name, run_uuid, parameters, replicas)


def _replicas(run: dict, tracking: dict[str, str]) -> list[Process]:
    """A process for the master and each worker, with the variables that the training operator sets in the pods."""
    parts = [
        run[part] for part in ("master", "worker") if part in run for _ in range(int(run[part].get("replicas", 1)))
    ]
    port = str(processes.free_port())
    shared = {"MASTER_ADDR": processes.HOST, "MASTER_PORT": port, "WORLD_SIZE": str(len(parts))}
    return [_process(part, tracking | shared | {"RANK": str(rank)}) for rank, part in enumerate(parts)]


def _process(replica: dict, tracking: dict[str, str]) -> Process:
    container = replica["container"]
    words = [*container.get("command", []), *container.get("args", [])]
    command = [_local(str(word)) for word in words if word != ""]  # an input without a value leaves an empty argument
    if command[0] == "python":
        command[0] = sys.executable
    return Process(command, dict(_variables(replica)) | tracking)


def _variables(replica: dict) -> Iterator[tuple[str, str]]:
    """The container's environment variables; those that secrets give on the cluster are taken as they are here."""
    secrets = {volume["name"] for volume in replica.get("volumes") or [] if "secret" in volume}
    mounts = [
        mount["mountPath"] for mount in replica["container"].get("volumeMounts") or [] if mount["name"] in secrets
    ]
    for item in replica["container"].get("env") or []:
        name, value = item["name"], item.get("value")
        if value is None and name not in os.environ:
            raise UserError(f"{name} comes from a secret on the cluster. Set it here: export {name}=...")
        if value is None or FOREIGN.fullmatch(name) or any(value.startswith(mount) for mount in mounts):
            continue
        yield name, _local(value)


def _local(text: str) -> str:
    """`text` with the volume's folders, and Polyaxon's own, as they are called on this machine."""
    volume = compilation.settings.AGENT_CONFIG.artifacts_store.schema_.mount_path
    folders = {
        f"{volume}/{project.name()}": project.ROOT,  # the project's folder on the volume is the repository
        f"{volume}/workspaces/{project.name()}": project.ROOT,
        volume: OUTPUTS / "runs",  # the volume is the artifacts store: it holds the runs
        "/plx-context/artifacts": OUTPUTS / "runs",
    }
    for there, here in folders.items():
        text = text.replace(there, str(here))
    return text


# From processes to runs


def execute(runs: list[Run], width: int, stop: Callable[[Run], str | None], quiet: bool) -> None:
    """Run all, `width` at a time; when `stop` gives a reason after one has ended, the others are stopped."""
    waiting = deque(runs)
    running: dict[str, tuple[Run, list[subprocess.Popen], float]] = {}
    threads = str(max(1, CORES // min(width, len(runs))))
    try:
        while waiting or running:
            while waiting and len(running) < width:
                run = waiting.popleft()
                with processes.deferred_signals():  # until `running` says what to end
                    running[run.uuid] = (run, _start(run, threads, quiet), time.monotonic())
            time.sleep(0.05)
            for run, started, began in list(running.values()):
                codes = [process.poll() for process in started]
                if None in codes and not any(codes):
                    continue
                processes.end(started)  # of a distributed run, those that wait for one that has failed
                del running[run.uuid]
                run.status, run.seconds = "failed" if any(codes) else "succeeded", time.monotonic() - began
                run.read_outputs()
                if quiet:
                    _report(run)
                if reason := stop(run):
                    click.echo(reason)
                    return
    finally:
        with processes.deferred_signals():
            processes.end([process for _, started, _ in running.values() for process in started])
        for run, _, began in running.values():
            run.status, run.seconds = "stopped", time.monotonic() - began
        for run in waiting:
            run.status = "not run"


def _start(run: Run, threads: str, quiet: bool) -> list[subprocess.Popen]:
    """Start the processes, each in a session of its own, so that what it starts can be ended with it."""
    run.status = "running"
    run.log.parent.mkdir(parents=True, exist_ok=True)
    shell = {name: value for name, value in os.environ.items() if not FOREIGN.fullmatch(name)}
    started: list[subprocess.Popen] = []
    with run.log.open("a", encoding="utf-8") if quiet or len(run.processes) > 1 else nullcontext() as log:
        for rank, process in enumerate(run.processes):
            hidden = quiet or rank > 0
            try:
                started.append(
                    subprocess.Popen(
                        process.command,
                        env={"OMP_NUM_THREADS": threads} | shell | process.environment,
                        cwd=project.ROOT,
                        stdin=subprocess.DEVNULL,
                        stdout=log if hidden else None,
                        stderr=subprocess.STDOUT if hidden else None,
                        start_new_session=True,
                    )
                )
            except OSError as error:
                processes.end(started)
                program = process.command[0]
                raise UserError(
                    f"{program} does not run here: {error.strerror}. It is in the image of {run.name}."
                ) from None
    return started


def _report(run: Run) -> None:
    click.echo(f"{run.status:9}  {run.name}  {text(run.parameters)}  {run.seconds:.1f} s")
    if run.status == "failed":
        lines = run.log.read_text(encoding="utf-8", errors="replace").splitlines()
        click.echo("".join(f"    {line}\n" for line in lines[-12:]) + f"    the whole log: {run.log}")


def text(parameters: dict[str, object]) -> str:
    return " ".join(f"{name}={cell(value)}" for name, value in parameters.items())


def cell(value: object) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
