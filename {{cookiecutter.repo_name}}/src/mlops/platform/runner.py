"""Run a Polyaxonfile on this machine: Polyaxon compiles it, and the container's command runs as a process.

    python -m mlops.platform.runner train -P epochs=2
    python -m mlops.platform.runner hparam-group --dry-run

Done as on the cluster: inputs and their types, references, variables, a matrix with its concurrency and its early
stopping, hyperband, a graph's order, the processes of a distributed job, the record of each run. Not done: images,
connections and secrets, resources, presets, retries, timeouts, probes, schedules, cache, hooks, and parameters that a
graph's operation takes from another. Operations of a graph run one after another.
"""

import graphlib
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click

from .. import processes, project
from ..errors import UserError
from . import compilation, searches, user_errors
from .jobs import CORES, Run, execute, plan, text


class Runner:
    """Runs operations of all kinds, or with `dry_run` says what it would run."""

    def __init__(self, dry_run: bool, concurrency: int | None) -> None:
        self.dry_run, self.concurrency = dry_run, concurrency

    def operation(self, operation, name: str, parameters: dict[str, object]) -> bool:
        """Run an operation of any kind; return whether all of it succeeded."""
        whole = compilation.compiled(operation)
        if whole.schedule:
            raise UserError(f"{name} has a schedule, and schedules run on the cluster only.")
        if whole.matrix:
            return self.group(operation, whole, name)
        if whole.is_dag_run:
            return self.graph(whole.run.operations, name)
        run = plan(operation, name, parameters)
        self.batch([run], width=1, stop=lambda run: None, quiet=False)
        if run.status == "failed":
            click.echo(f"{name} failed.", err=True)
        return run.status == "succeeded" or self.dry_run

    def graph(self, operations, name: str) -> bool:
        """Run the operations of a graph in their order; those that depend on one that failed are left out."""
        named = {operation.name: operation for operation in operations}
        order = graphlib.TopologicalSorter({each.name: each.dependencies or [] for each in operations})
        failed: set[str] = set()
        for part in order.static_order():
            reasons = failed.intersection(named[part].dependencies or [])
            if reasons:
                click.echo(f"{part}: not run, because {', '.join(sorted(reasons))} failed")
            else:
                click.echo(f"{name}: {part}")
            if reasons or not self.operation(named[part], part, {}):
                failed.add(part)
        return not failed

    def group(self, operation, whole, name: str) -> bool:
        """Run an operation with a matrix, and rank its runs."""
        matrix, outputs = whole.matrix, [item.name for item in whole.outputs or []]
        asked = matrix.concurrency or 1
        width = min(self.concurrency or min(asked, CORES), asked)
        runs: list[Run] = []

        def batch(suggestions: list[dict[str, object]]) -> list[Run]:
            planned = []
            for number, each in enumerate(suggestions, start=len(runs) + 1):
                part = f"{name}-{number:02}"
                with compilation.explained(part):
                    child = compilation.with_suggestion(operation, each)
                planned.append(plan(child, part, each))
            runs.extend(planned)
            self.batch(planned, width, lambda run: searches.stop_reason(run, runs, matrix), quiet=True)
            return planned

        began = time.monotonic()
        if matrix.kind == "hyperband":
            searches.hyperband(matrix, batch, self.dry_run)
        else:
            batch(compilation.suggestions(matrix))
        if not self.dry_run:
            click.echo(searches.table(runs, matrix, outputs))
            click.echo(
                f"{len(runs)} runs in {time.monotonic() - began:.1f} s, {width} at a time "
                f"(concurrency {asked}, {CORES} cores)"
            )
        return all(run.status != "failed" for run in runs)

    def batch(self, runs: list[Run], width: int, stop: Callable[[Run], str | None], quiet: bool) -> None:
        if not self.dry_run:
            execute(runs, width, stop, quiet)
            return
        for run in runs:
            for process in run.processes:
                click.echo(f"{run.name}  {text(run.parameters)}\n    {shlex.join(process.command)}")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-P", "--param", "params", multiple=True, metavar="NAME=VALUE", help="A value for an input; repeatable.")
@click.option(
    "--concurrency", type=click.IntRange(min=1), help="Runs of a matrix at a time: at most its own concurrency."
)
@click.option("--dry-run", is_flag=True, help="Print the commands, and run nothing.")
@click.argument("file")
@user_errors()
def main(file: str, params: tuple[str, ...], concurrency: int | None, dry_run: bool) -> None:
    """Run a Polyaxonfile on this machine. FILE is a path, or the name of one of the repository's own.

    The container's command runs as a process. Images, secrets, resources, presets, retries and schedules are for the
    cluster.
    """
    folder = project.ROOT / compilation.FOLDER / "polyaxonfiles"
    path = Path(file) if Path(file).is_file() else folder / f"{file.removesuffix('.yml')}.yml"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in folder.glob("*.yml")))
        raise UserError(f"There is no Polyaxonfile {file}. There are: {known}.")
    compilation.use_platform()
    with compilation.explained(path.name):
        operation = compilation.read(path, list(params))
    given: dict[str, object] = {name: value for name, _, value in (each.partition("=") for each in params)}
    processes.exit_on_signals()
    try:
        good = Runner(dry_run, concurrency).operation(operation, path.stem, given)
    except KeyboardInterrupt:
        click.echo("Stopped, with all that it had started.", err=True)
        sys.exit(128 + signal.SIGINT)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main(prog_name="runner")
