"""A group of runs: its batches, its early stopping, hyperband, and the table of its results."""

from collections.abc import Callable

import click
from polyaxon.tuners.hyperband import HyperbandManager

from .jobs import Run, cell

Batch = Callable[[list[dict[str, object]]], list[Run]]  # plans and runs one run for each suggestion


def hyperband(matrix, batch: Batch, dry_run: bool) -> None:
    """Run brackets of rungs: each rung keeps the best of the one before and gives them more of the resource.

    https://arxiv.org/abs/1603.06560, algorithm 1. Polyaxon's manager draws and counts; its own step from rung to
    rung does not raise the resource, so that step is taken here.
    """
    manager = HyperbandManager(matrix)
    for bracket in range(matrix.s_max + 1):
        drawn = manager.get_iteration_suggestions(iteration=bracket, bracket_iteration=0)
        for rung in range(matrix.s_max - bracket + 1):
            amount = round(manager.get_n_resources_for_iteration(bracket, rung))
            for suggestion in drawn:
                suggestion[matrix.resource.name] = matrix.resource.cast_value(amount)
            click.echo(f"bracket {bracket + 1}, rung {rung + 1}: {len(drawn)} runs, {matrix.resource.name}={amount}")
            done = batch(drawn)
            if dry_run:
                click.echo("  its later rungs depend on the results of this one")
                break
            if any(run.status in ("stopped", "not run") for run in done):
                return  # early stopping
            good = [run for run in done if matrix.metric.name in run.outputs]
            good.sort(key=lambda run: run.outputs[matrix.metric.name], reverse=_maximized(matrix.metric))
            keep = matrix.get_num_runs_to_keep_for_iteration(bracket, rung)
            drawn = [dict(run.parameters) for run in good[:keep]]
            if not drawn:
                break


def stop_reason(run: Run, runs: list[Run], matrix) -> str | None:
    """Return why the rest of a group need not run, by the matrix's early stopping, or None."""
    for stop in getattr(matrix, "early_stopping", None) or []:
        if stop.kind == "failure_early_stopping":
            share = 100 * sum(each.status == "failed" for each in runs) / len(runs)
            if share >= stop.percent:
                return f"early stopping: {share:.0f} % of the runs failed"
        elif stop.metric in run.outputs and not stop.policy:
            value = run.outputs[stop.metric]
            if value >= stop.value if _maximized(stop) else value <= stop.value:
                return f"early stopping: {run.name} has {stop.metric} {value:.4g}"
    return None


def table(runs: list[Run], matrix, outputs: list[str]) -> str:
    """Return the runs of a group, best first; those without the metric come last."""
    metric, maximized = _metric(matrix, outputs)
    worst = float("-inf") if maximized else float("inf")
    ranked = sorted(runs, key=lambda run: run.outputs.get(metric, worst), reverse=maximized)
    names = list(dict.fromkeys(name for run in runs for name in run.parameters))
    shown = list(dict.fromkeys([metric, *outputs]))
    rows = [["run", *shown, *names, "status", "seconds", "uuid"]]
    for run in ranked:
        values = [run.outputs.get(name) for name in shown] + [run.parameters.get(name) for name in names]
        rows.append([run.name, *map(cell, values), run.status, f"{run.seconds:.1f}", run.uuid])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _metric(matrix, outputs: list[str]) -> tuple[str, bool]:
    """Return what a group's runs are ranked by, and whether more of it is better."""
    if getattr(matrix, "metric", None):
        return matrix.metric.name, _maximized(matrix.metric)
    for stop in getattr(matrix, "early_stopping", None) or []:
        if hasattr(stop, "metric"):
            return stop.metric, _maximized(stop)
    return (outputs or [""])[0], True


def _maximized(compared) -> bool:
    return compared.optimization == "maximize"
