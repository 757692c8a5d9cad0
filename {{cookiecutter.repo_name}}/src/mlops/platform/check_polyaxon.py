"""The check of Polyaxon's files: compiled by Polyaxon itself, and the pods that come of it as Kubernetes' own."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import yaml
from clipped._vendor.croniter import croniter  # the one that Polyaxon reads schedules with
from polyaxon._deploy.reader import read

from .. import project
from . import compilation
from .check_kubernetes import Fault, findings, leaves, pod_faults

CONFIG = project.POLYAXON / "polyaxon-config.yml"


def check_polyaxonfiles(root: Path, stages: click.Group) -> Iterator[str]:
    """Check the platform's configuration, each Polyaxonfile alone, and each preset over every component."""
    try:
        read(str(root / CONFIG))  # as Polyaxon's own `admin deploy`
        compilation.use_platform(root)
    except Exception as error:  # Polyaxon has no one exception for a file that is wrong
        yield from findings(CONFIG, [compilation.explain(error)])
        return
    files = sorted((root / project.POLYAXON / "polyaxonfiles").glob("*.yml"))
    for path in files:
        yield from findings(path.relative_to(root), _faults(root, stages, path))
    for preset in sorted((root / project.POLYAXON / "presets").glob("*.yml")):
        for path in files:
            if yaml.safe_load(path.read_text(encoding="utf-8")).get("run", {}).get("kind", "dag") != "dag":
                yield from findings(preset.relative_to(root), _faults(root, stages, path, preset))


def _faults(root: Path, stages: click.Group, path: Path, *presets: Path) -> Iterator[Fault]:
    try:
        operation = compilation.read(path, presets=presets)
        yield from _unknown_names(operation)
        runs = [(name, compilation.pods(run, project.name(root))) for name, run in compilation.one_of_each(operation)]
    except Exception as error:
        field, message = compilation.explain(error)
        yield field or _field_of(presets[0] if presets else path, message), message
        return
    for name, pods in runs:
        for pod in pods:
            for field, message in pod_faults(root, pod, stages):
                yield f"{name + ': ' if name else ''}spec.{field}", message


def _unknown_names(operation) -> Iterator[Fault]:
    """Yield a schedule that is not a time, and names in a matrix that are not inputs or outputs."""
    whole = compilation.compiled(operation)
    cron = getattr(whole.schedule, "cron", None)
    if cron and not croniter.is_valid(cron):
        yield "schedule.cron", f"{cron} is not a time: minute, hour, day, month, day of the week"
    for child in whole.run.operations if whole.is_dag_run else []:
        yield from _unknown_names(child)
    matrix = whole.matrix
    resource, metric = getattr(matrix, "resource", None), getattr(matrix, "metric", None)
    used = [("input", f"params.{name}", name) for name in getattr(matrix, "params", None) or {}]
    used += [("input", "resource", resource.name)] if resource else []
    used += [("output", "metric", metric.name)] if metric else []
    for stop in getattr(matrix, "early_stopping", None) or []:
        used += [("output", "earlyStopping", stop.metric)] if hasattr(stop, "metric") else []
    for kind, field, name in used:
        known = sorted(item.name for item in (whole.inputs if kind == "input" else whole.outputs) or [])
        if name not in known:
            yield f"matrix.{field}", f"there is no {kind} {name}; {kind}s: {', '.join(known)}"


def _field_of(path: Path, message: str) -> str:
    """Return the field, such as run.container.args.0, whose value has the variable that a message names."""
    variables = re.findall(r"'(\w+)'", message)
    for field, value in leaves(yaml.safe_load(path.read_text(encoding="utf-8"))) if variables else ():
        if re.search(r"[{]{2}.*\b" + variables[-1] + r"\b", str(value)):
            return field
    return ""
