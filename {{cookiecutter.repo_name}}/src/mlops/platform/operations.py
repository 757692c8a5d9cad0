"""Run an operation of any kind as processes of this machine: a single run, a group with its matrix, a graph."""

import graphlib
import shlex
import time
from collections.abc import Callable

import click

from ..errors import UserError
from . import compilation, searches
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
