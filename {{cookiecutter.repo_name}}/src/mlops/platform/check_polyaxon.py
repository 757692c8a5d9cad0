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
from .manifests import Fault, Finding, leaves, pod_faults

CONFIG = project.POLYAXON / "polyaxon-config.yml"


def check_polyaxonfiles(root: Path, stages: click.Group) -> Iterator[Finding]:
    """The platform's configuration; each Polyaxonfile alone; each preset over every component."""
    try:
        read(str(root / CONFIG))  # as Polyaxon's own `admin deploy`
        compilation.use_platform(root)
    except Exception as error:  # Polyaxon has no one exception for a file that is wrong
        yield Finding(CONFIG, *_explained(error))
        return
    files = sorted((root / project.POLYAXON / "polyaxonfiles").glob("*.yml"))
    for path in files:
        yield from (Finding(path.relative_to(root), *fault) for fault in _faults(root, path, stages))
    for preset in sorted((root / project.POLYAXON / "presets").glob("*.yml")):
        for path in files:
            if yaml.safe_load(path.read_text(encoding="utf-8")).get("run", {}).get("kind", "dag") != "dag":
                yield from (Finding(preset.relative_to(root), *fault) for fault in _faults(root, path, stages, preset))


def _faults(root: Path, path: Path, stages: click.Group, *presets: Path) -> Iterator[Fault]:
    try:
        operation = compilation.read(path, presets=presets)
        yield from _names(operation)
        with compilation.strict_variables():
            runs = compilation.one_of_each(operation)
            resources = [(name, compilation.to_kubernetes(run, project.name(root))) for name, run in runs]
    except Exception as error:
        field, message = _explained(error)
        yield field or _field_of(presets[0] if presets else path, message), message
        return
    for name, resource in resources:
        for pod in compilation.pod_specs(resource):
            for field, message in pod_faults(root, pod, stages):
                yield f"{name + ': ' if name else ''}spec.{field}", message


def _names(operation) -> Iterator[Fault]:
    """What a matrix draws must be an input, and what it compares an output; a schedule is one: Polyaxon checks none."""
    whole = compilation.compiled(operation)
    cron = getattr(whole.schedule, "cron", None)
    if cron and not croniter.is_valid(cron):
        yield "schedule.cron", f"{cron} is no time: minute, hour, day, month, day of the week"
    for child in whole.run.operations if whole.is_dag_run else []:
        yield from _names(child)
    matrix = whole.matrix
    stops = getattr(matrix, "early_stopping", None) or []
    drawn = [(f"params.{name}", name) for name in getattr(matrix, "params", None) or {}]
    compared = [("earlyStopping", getattr(stop, "metric", None)) for stop in stops]
    for place, names in (("resource", drawn), ("metric", compared)):
        if getattr(matrix, place, None):
            names.append((place, getattr(matrix, place).name))
    for kind, names, items in (("input", drawn, whole.inputs), ("output", compared, whole.outputs)):
        known = sorted(item.name for item in items or [])
        for field, name in names:
            if name and name not in known:
                yield f"matrix.{field}", f"there is no {kind} {name}; {kind}s: {', '.join(known)}"


def _explained(error: BaseException) -> Fault:
    """The field that an error of Polyaxon's names, and its innermost cause."""
    error = compilation.cause(error)
    if hasattr(error, "errors"):  # pydantic's, which say where
        first = error.errors()[0]
        return ".".join(map(str, first["loc"])), first["msg"]
    return "", " ".join(str(error).split())


def _field_of(path: Path, message: str) -> str:
    """The field, such as run.container.args.0, whose value has the variable that a message names."""
    variables = re.findall(r"'(\w+)'", message)
    for field, value in leaves(yaml.safe_load(path.read_text(encoding="utf-8"))) if variables else ():
        if re.search(r"[{]{2}.*\b" + variables[-1] + r"\b", str(value)):
            return field
    return ""
