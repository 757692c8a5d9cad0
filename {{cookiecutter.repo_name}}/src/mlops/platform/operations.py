"""Run an operation of any kind as processes of this machine: a single run, a group with its matrix, a graph."""

import graphlib
import shlex
import time
from collections.abc import Callable

import click
from polyaxon.tuners.hyperband import HyperbandManager

from ..errors import UserError
from ..runs import aligned
from . import compilation
from .jobs import CORES, Run, cell, execute, in_words, plan


class Runner:
    """Runs operations of all kinds, or with `dry_run` says what it would run."""

    def __init__(self, dry_run: bool, concurrency: int | None) -> None:
        self.dry_run, self.concurrency = dry_run, concurrency

    def run(self, operation, name: str, parameters: dict[str, object]) -> bool:
        """Run an operation of any kind; return whether all of it succeeded."""
        whole = compilation.compiled(operation)
        if whole.schedule:
            raise UserError(f"{name} has a schedule, and schedules run on the cluster only.")
        if whole.matrix:
            asked = whole.matrix.concurrency or 1
            return Group(self, operation, whole, name, min(self.concurrency or min(asked, CORES), asked)).run()
        if whole.is_dag_run:
            return self.run_graph(whole.run.operations, name)
        run = plan(operation, name, parameters)
        self.run_batch([run], width=1, stop=lambda run: None, quiet=False)
        if run.status == "failed":
            click.echo(f"{name} failed.", err=True)
        return run.status == "succeeded" or self.dry_run

    def run_graph(self, operations, name: str) -> bool:
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
            if reasons or not self.run(named[part], part, {}):
                failed.add(part)
        return not failed

    def run_batch(self, runs: list[Run], width: int, stop: Callable[[Run], str | None], quiet: bool) -> None:
        """Run all, or say what would be run."""
        if not self.dry_run:
            execute(runs, width, stop, quiet)
            return
        for run in runs:
            for command, _ in run.processes:
                click.echo(f"{run.name}  {in_words(run.parameters)}\n    {shlex.join(command)}")


class Group:
    """The runs of an operation with a matrix: in batches, with its early stopping, and ranked."""

    def __init__(self, runner: Runner, operation, whole, name: str, width: int) -> None:
        self.runner, self.operation, self.name, self.width = runner, operation, name, width
        self.matrix, self.outputs = whole.matrix, [item.name for item in whole.outputs or []]
        self.stops = getattr(self.matrix, "early_stopping", None) or []
        self.runs: list[Run] = []

    def run(self) -> bool:
        """Run all of them; return whether none failed."""
        began = time.monotonic()
        if self.matrix.kind == "hyperband":
            self.run_hyperband()
        else:
            self.run_batch(compilation.suggestions(self.matrix))
        if not self.runner.dry_run:
            click.echo("\n".join(self.table()))
            click.echo(
                f"{len(self.runs)} runs in {time.monotonic() - began:.1f} s, {self.width} at a time "
                f"(concurrency {self.matrix.concurrency or 1}, {CORES} cores)"
            )
        return all(run.status != "failed" for run in self.runs)

    def run_batch(self, suggestions: list[dict[str, object]]) -> list[Run]:
        """Plan and run one run for each suggestion."""
        planned = []
        for number, each in enumerate(suggestions, start=len(self.runs) + 1):
            name = f"{self.name}-{number:02}"
            with compilation.explained(name):
                child = compilation.with_suggestion(self.operation, each)
            planned.append(plan(child, name, each))
        self.runs.extend(planned)
        self.runner.run_batch(planned, self.width, self.stop_reason, quiet=True)
        return planned

    def run_hyperband(self) -> None:
        """Run brackets of rungs: each rung keeps the best of the one before and gives them more of the resource.

        https://arxiv.org/abs/1603.06560, algorithm 1. Polyaxon's manager draws and counts; its own step from rung to
        rung does not raise the resource, so that step is taken here.
        """
        matrix, manager = self.matrix, HyperbandManager(self.matrix)
        metric, resource = matrix.metric.name, matrix.resource
        for bracket in range(matrix.s_max + 1):
            drawn = manager.get_iteration_suggestions(iteration=bracket, bracket_iteration=0)
            for rung in range(matrix.s_max - bracket + 1):
                amount = resource.cast_value(round(manager.get_n_resources_for_iteration(bracket, rung)))
                click.echo(f"bracket {bracket + 1}, rung {rung + 1}: {len(drawn)} runs, {resource.name}={amount}")
                done = self.run_batch([suggestion | {resource.name: amount} for suggestion in drawn])
                if self.runner.dry_run:
                    click.echo("  its later rungs depend on the results of this one")
                    break
                if any(run.status in ("stopped", "not run") for run in done):
                    return  # early stopping
                good = [run for run in done if metric in run.outputs]
                good.sort(key=lambda run: run.outputs[metric], reverse=_is_maximized(matrix.metric))
                keep = matrix.get_num_runs_to_keep_for_iteration(bracket, rung)
                drawn = [run.parameters for run in good[:keep]]
                if not drawn:
                    break

    def stop_reason(self, run: Run) -> str | None:
        """Return why the rest need not run after this one, by the matrix's early stopping, or None."""
        for stop in self.stops:
            if stop.kind == "failure_early_stopping":
                share = 100 * sum(each.status == "failed" for each in self.runs) / len(self.runs)
                if share >= stop.percent:
                    return f"early stopping: {share:.0f} % of the runs failed"
            elif stop.metric in run.outputs and not stop.policy:
                value = run.outputs[stop.metric]
                if value >= stop.value if _is_maximized(stop) else value <= stop.value:
                    return f"early stopping: {run.name} has {stop.metric} {value:.4g}"
        return None

    def table(self) -> list[str]:
        """Return the runs as lines, best first; those without the metric come last."""
        metric, maximized = self._metric()
        worst = float("-inf") if maximized else float("inf")
        names = list(dict.fromkeys(name for run in self.runs for name in run.parameters))
        shown = list(dict.fromkeys([metric, *self.outputs]))
        rows = [["run", *shown, *names, "status", "seconds", "uuid"]]
        for run in sorted(self.runs, key=lambda run: run.outputs.get(metric, worst), reverse=maximized):
            values = [run.outputs.get(name) for name in shown] + [run.parameters.get(name) for name in names]
            rows.append([run.name, *map(cell, values), run.status, f"{run.seconds:.1f}", run.uuid])
        return aligned(rows)

    def _metric(self) -> tuple[str, bool]:
        """Return what the runs are ranked by, and whether more of it is better."""
        metric = getattr(self.matrix, "metric", None)
        if metric:
            return metric.name, _is_maximized(metric)
        return (self.outputs or [""])[0], True


def _is_maximized(compared) -> bool:
    return compared.optimization == "maximize"
