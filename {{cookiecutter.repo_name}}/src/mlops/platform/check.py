"""`make check`: the files for the cluster, judged by the tools that will read them. It needs no cluster.

Each finding names a file and a field. A check whose tool is missing says NOT CHECKED, which fails where CI is set.
YAML's syntax, Dockerfiles, shell scripts and CI's files are judged by `make lint`: see .pre-commit-config.yaml.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from ..errors import UserError

CHECKS = ("polyaxonfiles", "kubernetes", "names", "argo", "seldon", "conda")


def _check(name: str) -> Callable:
    """Return one of CHECKS; only then its tool is imported, which may be missing."""
    match name:
        case "polyaxonfiles":
            from .check_polyaxon import check_polyaxonfiles as check
        case "kubernetes":
            from .check_kubernetes import check_manifests as check
        case "names":
            from .check_kubernetes import check_names as check
        case "argo":
            from .check_argo import check_argo as check
        case "seldon":
            from .check_seldon import check_seldon as check
        case "conda":
            from .check_conda import check_conda as check
    return check


def run(root: Path, names: Sequence[str], stages: click.Group) -> bool:
    """Check the files for the cluster; print the findings and return whether there are none.

    Args:
        names: of CHECKS; none: all of them.
        stages: the command line that `python -m PACKAGE` has in the images.
    """
    good = True
    for name in names or CHECKS:
        try:
            findings = list(dict.fromkeys(_check(name)(root, stages)))
        except (ImportError, UserError) as error:
            package = getattr(error, "name", None)
            reason = f"{package} is not installed; it comes with: make check" if package else error
            click.echo(f"{name}: NOT CHECKED: {reason}")
            good &= not os.environ.get("CI")
            continue
        click.echo(f"{name}: {'ok' if not findings else f'{len(findings)} to fix'}")
        for finding in findings:
            click.echo(f"  {finding}")
        good &= not findings
    return good
