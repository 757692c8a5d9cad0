"""One run of a Polyaxonfile as processes of this machine: planned, started, watched, ended."""

import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable
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
class Run:
    """One run: its processes (more than one when it is distributed), and how it went."""

    name: str
    uuid: str
    parameters: dict[str, object]
    processes: list[tuple[list[str], dict[str, str]]]  # command, and what it adds to the environment
    started: list[subprocess.Popen] = field(default_factory=list)
    began: float = 0.0
    status: str = "pending"
    seconds: float = 0.0
    outputs: dict[str, Any] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        return OUTPUTS / "logs" / f"{self.name}.{self.uuid[:12]}.log"

    def finish(self, status: str) -> None:
        """Note how it went, and the outputs that it recorded."""
        self.status, self.seconds = status, time.monotonic() - self.began
        record = OUTPUTS / "runs" / self.uuid / "run.plx.json"
        with suppress(OSError, ValueError):  # none, or cut short by a kill
            self.outputs = json.loads(record.read_text(encoding="utf-8")).get("outputs") or {}


def plan(operation, name: str, parameters: dict[str, object]) -> Run:
    """Plan one run of an operation: compiled by Polyaxon, with the paths of this machine."""
    run_uuid, own = uuid.uuid4().hex, project.name()
    with compilation.explained(name):
        pods = compilation.pods(operation, own, run_uuid)
    added = {
        "POLYAXON_IS_OFFLINE": "true",
        "POLYAXON_OFFLINE_ROOT": str(OUTPUTS),
        "POLYAXON_RUN_INSTANCE": f"{project.OWNER}.{own}.runs.{run_uuid}",
        "MLOPS_OUTPUTS": str(OUTPUTS),
        "MLOPS_RUN": run_uuid,
        "MLOPS_RUN_NAME": name,
        "PYTHONPATH": str(project.ROOT / "src"),
    }
    if compilation.compiled(operation).is_distributed_run:  # as the training operator does in the pods
        port = str(processes.free_port())
        added |= {"MASTER_ADDR": processes.HOST, "MASTER_PORT": port, "WORLD_SIZE": str(len(pods))}
    planned = []
    for rank, pod in enumerate(pods):
        own_rank = {"RANK": str(rank)} if "WORLD_SIZE" in added else {}
        planned.append((_command(pod), _variables(pod) | added | own_rank))
    return Run(name, run_uuid, parameters, planned)


def _command(pod: dict) -> list[str]:
    container = pod["containers"][0]  # the others are Polyaxon's own
    words = [*container.get("command", []), *container.get("args", [])]
    command = [_local(str(word)) for word in words if word != ""]  # an input without a value leaves an empty argument
    return [sys.executable if command[0] == "python" else command[0], *command[1:]]


def _variables(pod: dict) -> dict[str, str]:
    """Return the container's variables; those that secrets give on the cluster are taken as they are here."""
    container = pod["containers"][0]
    secrets = {volume["name"] for volume in pod.get("volumes", []) if "secret" in volume}
    mounts = tuple(mount["mountPath"] for mount in container.get("volumeMounts", []) if mount["name"] in secrets)
    variables = {}
    for item in container.get("env", []):
        name, value = item["name"], item.get("value")
        if FOREIGN.fullmatch(name):
            continue
        if value is None and name not in os.environ:
            raise UserError(f"{name} comes from a secret on the cluster. Set it here: export {name}=...")
        if value is not None and not value.startswith(mounts):
            variables[name] = _local(value)
    return variables


def _local(text: str) -> str:
    """Return a text with the folders of the volume, and Polyaxon's own, as they are called on this machine."""
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


def execute(runs: list[Run], width: int, stop: Callable[[Run], str | None], quiet: bool) -> None:
    """Run all, `width` at a time; when `stop` gives a reason after one has ended, the others are stopped."""
    waiting = deque(runs)
    running: list[Run] = []
    threads = str(max(1, CORES // min(width, len(runs))))
    try:
        while waiting or running:
            while waiting and len(running) < width:
                with processes.deferred_signals():  # until `running` says what to end
                    run = waiting.popleft()
                    _start(run, threads, quiet)
                    running.append(run)
            time.sleep(0.05)
            for run in list(running):
                codes = [process.poll() for process in run.started]
                if None in codes and not any(codes):
                    continue
                processes.end(run.started)  # of a distributed run, those that wait for one that has failed
                running.remove(run)
                run.finish("failed" if any(codes) else "succeeded")
                if quiet:
                    _report(run)
                if reason := stop(run):
                    click.echo(reason)
                    return
    finally:
        with processes.deferred_signals():
            processes.end([process for run in running for process in run.started])
        for run in running:
            run.finish("stopped")
        for run in waiting:
            run.status = "not run"


def _start(run: Run, threads: str, quiet: bool) -> None:
    """Start the processes, each in a session of its own, so that what it starts can be ended with it."""
    run.began = time.monotonic()
    run.log.parent.mkdir(parents=True, exist_ok=True)
    shell = {name: value for name, value in os.environ.items() if not FOREIGN.fullmatch(name)}
    with run.log.open("a", encoding="utf-8") if quiet or len(run.processes) > 1 else nullcontext() as log:
        for rank, (command, variables) in enumerate(run.processes):
            options: dict[str, Any] = {"stdout": log, "stderr": subprocess.STDOUT} if quiet or rank else {}
            options |= {"cwd": project.ROOT, "stdin": subprocess.DEVNULL, "start_new_session": True}
            environment = {"OMP_NUM_THREADS": threads} | shell | variables
            try:
                run.started.append(subprocess.Popen(command, env=environment, **options))
            except OSError as error:
                processes.end(run.started)
                reason = f"{command[0]} does not run here: {error.strerror}"
                raise UserError(f"{reason}. It is in the image of {run.name}.") from None


def _report(run: Run) -> None:
    click.echo(f"{run.status:9}  {run.name}  {in_words(run.parameters)}  {run.seconds:.1f} s")
    if run.status == "failed":
        lines = run.log.read_text(encoding="utf-8", errors="replace").splitlines()
        click.echo("".join(f"    {line}\n" for line in lines[-12:]) + f"    the whole log: {run.log}")


def in_words(parameters: dict[str, object]) -> str:
    return " ".join(f"{name}={cell(value)}" for name, value in parameters.items())


def cell(value: object) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
