"""`make check`: the files for the cluster and for CI, judged by the tools that will read them. It needs neither.

Each finding names a file and a field. A check whose tool is missing says NOT CHECKED, which fails where CI is set.
"""

import itertools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import click
import yaml

from .. import project
from .check_argo import check_argo
from .check_ci import check_ci
from .check_links import check_links
from .check_seldon import check_seldon
from .findings import (
    Finding,
    NotChecked,
    answer_of,
    as_pod,
    check_commands,
    check_images,
    check_manifest,
    documents,
    leaves,
    needs,
)

POLYAXON = Path("aisg-context/polyaxon")
KUBERNETES = Path("aisg-context/k8s")
CORE_KINDS = ("v1", "apps/v1", "batch/v1", "rbac.authorization.k8s.io/v1", "networking.k8s.io/v1")


def check_yaml(root: Path) -> Iterator[Finding]:
    """Syntax, keys that are given twice, of which YAML keeps the last in silence, and words it reads as truth."""
    needs("yamllint")
    from yamllint import linter
    from yamllint.config import YamlLintConfig

    rules = YamlLintConfig("rules: {key-duplicates: enable, truthy: {check-keys: false}}")
    places = [root.glob("*.y*ml"), *((root / name).rglob("*.y*ml") for name in ("aisg-context", ".github"))]
    for path in sorted(path for found in places for path in found):
        for problem in linter.run(path.read_text(encoding="utf-8"), rules):
            yield Finding(path.relative_to(root), f"line {problem.line}", problem.desc)


def check_platform(root: Path) -> Iterator[Finding]:
    """polyaxon-config.yml, by the reader that Polyaxon's own `admin deploy` uses, and its claim among the volumes."""
    from polyaxon._deploy.reader import read

    path = POLYAXON / "polyaxon-config.yml"
    try:
        config = read(str(root / path))
    except Exception as error:  # Polyaxon has no one exception for a file that is wrong
        yield _explained(path, error)
        return
    objects = [item for _, item in documents(root, KUBERNETES)]
    claims = {item["metadata"]["name"] for item in objects if item["kind"] == "PersistentVolumeClaim"}
    for connection in [config.artifacts_store, *(config.connections or [])]:
        claim = getattr(connection.schema_, "volume_claim", None)
        if claim and claim not in claims:
            yield Finding(path, f"{connection.name}.schema.volumeClaim", f"no file under {KUBERNETES} claims {claim}")


def check_polyaxonfiles(root: Path, stages: click.Group) -> Iterator[Finding]:
    """Each Polyaxonfile alone, and each preset over every component: as `polyaxon check`, then strictly compiled."""
    from . import compilation

    try:
        compilation.use_platform(root)
    except Exception as error:
        yield _explained(POLYAXON / "polyaxon-config.yml", error)
        return
    files = sorted((root / POLYAXON / "polyaxonfiles").glob("*.yml"))
    for path in files:
        yield from _check_polyaxonfile(root, path.relative_to(root), stages)
    for preset in sorted((root / POLYAXON / "presets").glob("*.yml")):
        for path in files:
            if yaml.safe_load(path.read_text(encoding="utf-8")).get("run", {}).get("kind", "dag") != "dag":
                yield from _check_polyaxonfile(root, path.relative_to(root), stages, preset.relative_to(root))


def _check_polyaxonfile(root: Path, path: Path, stages: click.Group, preset: Path | None = None) -> Iterator[Finding]:
    from . import compilation

    blamed = preset or path
    try:
        operation = compilation.read(root / path, presets=(root / preset,) if preset else ())
    except Exception as error:
        yield _explained(blamed, error)
        return
    yield from _check_names(path, operation) if not preset else ()
    with compilation.strict_variables():
        try:
            resources = [
                (name, compilation.to_kubernetes(run, project.name(root)))
                for name, run in compilation.one_of_each(operation)
            ]
        except Exception as error:
            finding = _explained(blamed, error)
            yield finding._replace(field=finding.field or _field_of(root / blamed, finding.message))
            return
    for name, resource in resources:
        for pod in compilation.pod_specs(resource):
            judged = (
                check_manifest(blamed, as_pod(pod)),
                check_images(root, blamed, pod),
                check_commands(root, blamed, pod, stages),
            )
            for finding in itertools.chain(*judged):
                yield finding._replace(field=f"{name}: {finding.field}" if name else finding.field)


def _check_names(path: Path, operation) -> Iterator[Finding]:
    """What a matrix draws must be an input, and what it compares an output: Polyaxon checks neither."""
    from clipped._vendor.croniter import croniter  # the one that Polyaxon reads schedules with

    from . import compilation

    whole = compilation.compiled(operation)
    cron = getattr(whole.schedule, "cron", None)
    if cron and not croniter.is_valid(cron):
        yield Finding(path, "schedule.cron", f"{cron} is no time: minute, hour, day, month, day of the week")
    if whole.is_dag_run:
        for child in whole.run.operations:
            yield from _check_names(path, child)
    matrix = whole.matrix
    if not matrix:
        return
    inputs = {item.name for item in whole.inputs or []}
    outputs = {item.name for item in whole.outputs or []}
    drawn = [(f"params.{name}", name) for name in getattr(matrix, "params", None) or {}]
    stops = getattr(matrix, "early_stopping", None) or []
    compared = [("earlyStopping", getattr(stop, "metric", None)) for stop in stops]
    if matrix.kind == "hyperband":
        drawn.append(("resource", matrix.resource.name))
    if getattr(matrix, "metric", None):
        compared.append(("metric", matrix.metric.name))
    for kind, names, known in (("input", drawn, inputs), ("output", compared, outputs)):
        for field, name in names:
            if name and name not in known:
                there = ", ".join(sorted(known))
                yield Finding(path, f"matrix.{field}", f"there is no {kind} {name}; {kind}s: {there}")


def check_kubernetes(root: Path) -> Iterator[Finding]:
    """The plain Kubernetes manifests, by Kubernetes' own schemas with unknown fields forbidden."""
    needs("kubernetes_validate")
    for path, manifest in documents(root, KUBERNETES):
        if manifest.get("apiVersion") in CORE_KINDS:
            yield from check_manifest(path, manifest)


def check_dockerfiles(root: Path) -> Iterator[Finding]:
    """The Dockerfiles, by hadolint."""
    yield from _lint(root, "hadolint", sorted((root / "docker").glob("*.Dockerfile")))


def check_shell(root: Path) -> Iterator[Finding]:
    """The shell scripts, by shellcheck: those of the s2i builder, whose names s2i gives, and those called *.sh."""
    scripts = [path for path in sorted((root / "docker/s2i-builder").iterdir()) if not path.suffix and path.is_file()]
    yield from _lint(root, "shellcheck", [*scripts, *sorted((root / "src/mlops").rglob("*.sh"))], "SC")


def _lint(root: Path, program: str, files: list[Path], prefix: str = "") -> Iterator[Finding]:
    for problem in answer_of(root, program, "--format=json", *(str(path.relative_to(root)) for path in files)):
        message = f"{prefix}{problem['code']} {problem['message']}"
        yield Finding(Path(problem["file"]), f"line {problem['line']}", message)


def check_conda(root: Path) -> Iterator[Finding]:
    """Each entry of the conda environment, by the parser of conda's own package specifications."""
    needs("rattler", "py-rattler")
    from rattler import MatchSpec

    for path in sorted(root.glob("*-conda-env.yml")):
        for number, entry in enumerate(yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]):
            if isinstance(entry, str):
                try:
                    MatchSpec(entry, strict=True)
                except Exception as error:  # rattler's exceptions have no stable name in Python
                    yield Finding(path.relative_to(root), f"dependencies.{number}", f"{entry}: {error}")


CHECKS: dict[str, Callable[..., Iterator[Finding]]] = {
    "yaml": check_yaml,
    "platform": check_platform,
    "polyaxonfiles": check_polyaxonfiles,
    "kubernetes": check_kubernetes,
    "links": check_links,
    "argo": check_argo,
    "seldon": check_seldon,
    "dockerfiles": check_dockerfiles,
    "shell": check_shell,
    "conda": check_conda,
    "ci": check_ci,
}


def _explained(path: Path, error: BaseException) -> Finding:
    """The innermost cause of an error of Polyaxon's, and the field that it names."""
    from . import compilation

    error = compilation.cause(error)
    if hasattr(error, "errors"):  # pydantic's, which say where
        first = error.errors()[0]
        return Finding(path, ".".join(map(str, first["loc"])), first["msg"])
    return Finding(path, "", " ".join(str(error).split()))


def _field_of(path: Path, message: str) -> str:
    """The field, such as run.container.args.0, whose value has the variable that a message names."""
    variables = re.findall(r"'(\w+)'", message)
    for field, value in leaves(yaml.safe_load(path.read_text(encoding="utf-8"))) if variables else ():
        if re.search(r"[{]{2}.*\b" + variables[-1] + r"\b", str(value)):
            return field
    return ""


def run(root: Path, names: Sequence[str], stages: click.Group) -> bool:
    """Check the files for the cluster and for CI; print the findings and return whether there are none.

    Args:
        names: of CHECKS; none: all of them.
        stages: the command line that `python -m PACKAGE` has in the images.
    """
    checks = CHECKS | {"polyaxonfiles": partial(check_polyaxonfiles, stages=stages)}
    good = True
    for name in names or checks:
        try:
            findings = list(dict.fromkeys(checks[name](root)))
        except NotChecked as reason:
            click.echo(f"{name}: NOT CHECKED: {reason}")
            good &= not os.environ.get("CI")
            continue
        click.echo(f"{name}: {'ok' if not findings else f'{len(findings)} to fix'}")
        for finding in findings:
            click.echo(f"  {finding}")
        good &= not findings
    return good
