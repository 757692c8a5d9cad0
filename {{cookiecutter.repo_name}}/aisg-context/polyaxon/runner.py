"""Run a Polyaxonfile on this machine: Polyaxon compiles it, and the container's command runs as a process.

    python aisg-context/polyaxon/runner.py train -P epochs=2
    python aisg-context/polyaxon/runner.py hparam-group --dry-run

Done as on the cluster: inputs and their types, references, variables, a matrix with its concurrency and its early
stopping, hyperband, a graph's order, the processes of a distributed job, the record of each run. Not done: images,
connections and secrets, resources, presets, retries, timeouts, probes, schedules, cache, hooks, and parameters that a
graph's operation takes from another. Operations of a graph run one after another.
"""

import graphlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import compilation
from polyaxon.tuners.hyperband import HyperbandManager
from polyaxon_project import NAME as PROJECT
from polyaxon_project import OWNER, signals

ROOT = compilation.ROOT
GRACE = 10  # seconds that a process has to end by itself
OUTPUTS = ROOT / os.environ.get("POLYAXON_OFFLINE_ROOT", "outputs")
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Ended(BaseException):
    """A signal asked this program to end; like KeyboardInterrupt, it is no error that a run could catch."""

    def __init__(self, number: int) -> None:
        self.number = number


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
    """One run of an operation, compiled by Polyaxon, with the paths of this machine."""
    run_uuid = uuid.uuid4().hex
    run = compilation.resolve(operation, run_uuid, PROJECT).run.to_dict()
    tracking = {
        "POLYAXON_IS_OFFLINE": "true",
        "POLYAXON_OFFLINE_ROOT": str(OUTPUTS),
        "POLYAXON_RUN_INSTANCE": f"{OWNER}.{PROJECT}.runs.{run_uuid}",
        "RUN_NAME": name,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")])),
    }
    processes = _replicas(run, tracking) if run["kind"] == "pytorchjob" else [_process(run, tracking)]
    return Run(name, run_uuid, parameters, processes)


def _replicas(run: dict, tracking: dict[str, str]) -> list[Process]:
    """A process for the master and each worker, with the variables that the training operator sets in the pods."""
    parts = [
        run[part] for part in ("master", "worker") if part in run for _ in range(int(run[part].get("replicas", 1)))
    ]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(len(parts))}
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
            raise click.ClickException(f"{name} comes from a secret on the cluster. Set it here: export {name}=...")
        if value is not None and not any(value.startswith(mount) for mount in mounts):
            yield name, _local(value)


def _local(text: str) -> str:
    """`text` with the volume's folders, and Polyaxon's own, as they are called on this machine."""
    volume = compilation.settings.AGENT_CONFIG.artifacts_store.schema_.mount_path
    folders = {
        f"{volume}/{PROJECT}": ROOT,  # the project's folder on the volume is the repository
        f"{volume}/workspaces/{PROJECT}": ROOT,
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
                with signals.held():  # until it is known here what to end
                    running[run.uuid] = (run, _start(run, threads, quiet), time.monotonic())
            time.sleep(0.05)
            for run, processes, began in list(running.values()):
                codes = [process.poll() for process in processes]
                if None in codes and not any(codes):
                    continue
                _end(processes)  # of a distributed run, those that wait for one that has failed
                del running[run.uuid]
                run.seconds = time.monotonic() - began
                run.status = "failed" if any(codes) else "succeeded"
                run.read_outputs()
                if quiet:
                    _report(run)
                reason = stop(run)
                if reason:
                    click.echo(reason)
                    return
    finally:
        with signals.held():
            _end([process for _, processes, _ in running.values() for process in processes])
        for run, _, began in running.values():
            run.status, run.seconds = "stopped", time.monotonic() - began
        for run in waiting:
            run.status = "not run"


def _start(run: Run, threads: str, quiet: bool) -> list[subprocess.Popen]:
    """Each process leads a group of its own, so that what it starts can be ended with it."""
    run.status = "running"
    run.log.parent.mkdir(parents=True, exist_ok=True)
    processes = []
    for rank, process in enumerate(run.processes):
        environment = {"OMP_NUM_THREADS": threads} | os.environ | process.environment
        hidden = quiet or rank > 0
        log = run.log.open("a", encoding="utf-8") if hidden else None
        try:
            processes.append(
                subprocess.Popen(
                    process.command,
                    env=environment,
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT if hidden else None,
                    start_new_session=True,
                )
            )
        except OSError as error:
            _end(processes)
            raise click.ClickException(
                f"{process.command[0]} does not run here: {error.strerror}. It is in the image of {run.name}."
            ) from None
        finally:
            if log:
                log.close()
    return processes


def _end(processes: list[subprocess.Popen]) -> None:
    """End the groups of the processes: asked first, forced when they are still there after the grace."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        alive = [process for process in processes if process.poll() is None]
        for process in alive:
            os.killpg(process.pid, number)
        limit = time.monotonic() + GRACE
        while any(process.poll() is None for process in alive) and time.monotonic() < limit:
            time.sleep(0.05)


def _report(run: Run) -> None:
    click.echo(f"{run.status:9}  {run.name}  {_text(run.parameters)}  {run.seconds:.1f} s")
    if run.status == "failed":
        lines = run.log.read_text(encoding="utf-8", errors="replace").splitlines()
        click.echo("".join(f"    {line}\n" for line in lines[-12:]) + f"    all of it: {run.log}")


def _text(parameters: dict[str, object]) -> str:
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in parameters.items()
    )


# From a file to runs


class Runner:
    """Runs operations of all kinds, or with `dry_run` says what it would run."""

    def __init__(self, dry_run: bool, concurrency: int | None) -> None:
        self.dry_run, self.concurrency = dry_run, concurrency

    def operation(self, operation, name: str, parameters: dict[str, object]) -> bool:
        """Run an operation of any kind; gives whether all of it succeeded."""
        whole = compilation.compiled(operation)
        if whole.schedule:
            raise click.ClickException(f"{name} has a schedule, and schedules run on the cluster only.")
        if whole.matrix:
            return self.group(operation, whole.matrix, name)
        if whole.is_dag_run:
            return self.graph(whole.run.operations, name)
        run = plan(operation, name, parameters)
        self.batch([run], width=1, stop=lambda run: None, quiet=False)
        if run.status == "failed":
            click.echo(f"{name} failed.", err=True)
        return run.status == "succeeded" or self.dry_run

    def graph(self, operations, name: str) -> bool:
        """Run the operations of a graph in their order; those behind one that failed are left out."""
        named = {operation.name: operation for operation in operations}
        order = graphlib.TopologicalSorter({each.name: each.dependencies or [] for each in operations})
        failed: set[str] = set()
        for part in order.static_order():
            behind = failed.intersection(named[part].dependencies or [])
            if behind:
                click.echo(f"{part}: not run, because {', '.join(sorted(behind))} failed")
            else:
                click.echo(f"{name}: {part}")
            if behind or not self.operation(named[part], part, {}):
                failed.add(part)
        return not failed

    def group(self, operation, matrix, name: str) -> bool:
        """Run an operation with a matrix, and rank its runs."""
        whole = compilation.compiled(operation)
        asked = matrix.concurrency or 1
        width = min(self.concurrency or min(asked, CORES), asked)
        stops = getattr(matrix, "early_stopping", None) or []
        runs: list[Run] = []

        def batch(suggestions: list[dict[str, object]]) -> list[Run]:
            planned = [
                plan(compilation.with_suggestion(operation, each), f"{name}-{len(runs) + number:02}", each)
                for number, each in enumerate(suggestions, start=1)
            ]
            runs.extend(planned)
            self.batch(planned, width, lambda run: _stop_reason(run, runs, stops), quiet=True)
            return planned

        began = time.monotonic()
        if matrix.kind == "hyperband":
            self.hyperband(matrix, batch)
        else:
            batch(compilation.suggestions(matrix))
        if not self.dry_run:
            metric, highest = _metric(matrix, [item.name for item in whole.outputs or []])
            click.echo(_table(runs, metric, highest, [item.name for item in whole.outputs or []]))
            click.echo(
                f"{len(runs)} runs in {time.monotonic() - began:.1f} s, {width} at a time "
                f"(concurrency {asked}, {CORES} cores)"
            )
        return all(run.status != "failed" for run in runs)

    def hyperband(self, matrix, batch: Callable[[list[dict[str, object]]], list[Run]]) -> None:
        """Brackets of rungs: each rung keeps the best of the one before and gives them more of the resource.

        https://arxiv.org/abs/1603.06560, algorithm 1. Polyaxon's manager draws and counts; its own step from rung to
        rung does not raise the resource, so that step is taken here.
        """
        manager = HyperbandManager(matrix)
        highest = matrix.metric.optimization == "maximize"
        for bracket in range(matrix.s_max + 1):
            drawn = manager.get_iteration_suggestions(iteration=bracket, bracket_iteration=0)
            for rung in range(matrix.s_max - bracket + 1):
                amount = round(manager.get_n_resources_for_iteration(bracket, rung))
                for suggestion in drawn:
                    suggestion[matrix.resource.name] = matrix.resource.cast_value(amount)
                click.echo(
                    f"bracket {bracket + 1}, rung {rung + 1}: {len(drawn)} runs, {matrix.resource.name}={amount}"
                )
                done = batch(drawn)
                if self.dry_run:
                    click.echo("  its later rungs depend on the results of this one")
                    break
                if any(run.status in ("stopped", "not run") for run in done):
                    return  # early stopping
                keep = matrix.get_num_runs_to_keep_for_iteration(bracket, rung)
                good = [run for run in done if matrix.metric.name in run.outputs]
                good.sort(key=lambda run: run.outputs[matrix.metric.name], reverse=highest)
                drawn = [dict(run.parameters) for run in good[:keep]]
                if not drawn:
                    break

    def batch(self, runs: list[Run], width: int, stop: Callable[[Run], str | None], quiet: bool) -> None:
        if not self.dry_run:
            execute(runs, width, stop, quiet)
            return
        for run in runs:
            for process in run.processes:
                click.echo(f"{run.name}  {_text(run.parameters)}\n    {shlex.join(process.command)}")


def _stop_reason(run: Run, runs: list[Run], stops: list) -> str | None:
    """Why the rest of a group need not run, by its early stopping, or None."""
    for stop in stops:
        if stop.kind == "failure_early_stopping":
            share = 100 * sum(each.status == "failed" for each in runs) / len(runs)
            if share >= stop.percent:
                return f"early stopping: {share:.0f} % of the runs failed"
        elif stop.metric in run.outputs and not stop.policy:
            value, highest = run.outputs[stop.metric], stop.optimization == "maximize"
            if value >= stop.value if highest else value <= stop.value:
                return f"early stopping: {run.name} has {stop.metric} {value:.4g}"
    return None


def _metric(matrix, outputs: list[str]) -> tuple[str, bool]:
    """What a group's runs are ranked by, and whether more of it is better."""
    compared = [stop for stop in getattr(matrix, "early_stopping", None) or [] if hasattr(stop, "metric")]
    if getattr(matrix, "metric", None):
        return matrix.metric.name, matrix.metric.optimization == "maximize"
    if compared:
        return compared[0].metric, compared[0].optimization == "maximize"
    return (outputs or [""])[0], True


def _table(runs: list[Run], metric: str, highest: bool, outputs: list[str]) -> str:
    """The runs, best first; those without the metric come last."""
    worst = float("-inf") if highest else float("inf")
    ranked = sorted(runs, key=lambda run: run.outputs.get(metric, worst), reverse=highest)
    names = list(dict.fromkeys(name for run in runs for name in run.parameters))
    shown = [metric, *(name for name in outputs if name != metric)]
    rows = [["run", *shown, *names, "status", "seconds", "uuid"]]
    for run in ranked:
        values = [run.outputs.get(name) for name in shown] + [run.parameters.get(name) for name in names]
        rows.append([run.name, *map(_cell, values), run.status, f"{run.seconds:.1f}", run.uuid])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _cell(value: object) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """A signal to end runs this program's `finally` clauses, which end the processes that it started."""

    def end(number: int, frame) -> None:
        raise Ended(number)

    before = {number: signal.signal(number, end) for number in signals.endings()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-P", "--param", "params", multiple=True, metavar="NAME=VALUE", help="A value for an input; repeatable.")
@click.option(
    "--concurrency", type=click.IntRange(min=1), help="Runs of a matrix at a time: at most its own concurrency."
)
@click.option("--dry-run", is_flag=True, help="Print the commands, and run nothing.")
@click.argument("file")
def main(file: str, params: tuple[str, ...], concurrency: int | None, dry_run: bool) -> None:
    """Run a Polyaxonfile on this machine. FILE is a path, or the name of one of the repository's own.

    The container's command runs as a process. Images, secrets, resources, presets, retries and schedules are for the
    cluster.
    """
    folder = ROOT / compilation.FOLDER / "polyaxonfiles"
    path = Path(file) if Path(file).is_file() else folder / f"{file.removesuffix('.yml')}.yml"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in folder.glob("*.yml")))
        raise click.ClickException(f"There is no Polyaxonfile {file}. There are: {known}.")
    compilation.use_platform()
    try:
        operation = compilation.read(path, list(params))
    except Exception as error:  # Polyaxon has no one exception for a file or a parameter that is wrong
        raise click.ClickException(f"{path.name}: {compilation.cause(error)}") from None
    given: dict[str, object] = {name: value for name, _, value in (each.partition("=") for each in params)}
    try:
        with ended_by_signals():
            good = Runner(dry_run, concurrency).operation(operation, path.stem, given)
    except Ended as ended:
        click.echo(f"Ended by {signal.Signals(ended.number).name}, and with it what it had started.", err=True)
        sys.exit(128 + ended.number)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main(prog_name="runner")
