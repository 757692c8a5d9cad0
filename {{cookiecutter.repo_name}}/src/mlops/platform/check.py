"""`make check`: the files for the cluster, judged by the tools that will read them. It needs no cluster.

Each finding names a file and a field. A check whose tool is missing says NOT CHECKED, which fails where CI is set.
YAML's syntax, Dockerfiles, shell scripts and CI's files are judged by `make lint`: see .pre-commit-config.yaml.
"""

import importlib
import os
from collections.abc import Sequence
from pathlib import Path

import click

from ..errors import UserError

CHECKS = {  # each: the module and its function
    "polyaxonfiles": ("check_polyaxon", "check_polyaxonfiles"),
    "kubernetes": ("check_kubernetes", "check_manifests"),
    "names": ("check_kubernetes", "check_names"),
    "argo": ("check_argo", "check_argo"),
    "seldon": ("check_seldon", "check_seldon"),
    "conda": ("check_conda", "check_conda"),
}


def run(root: Path, names: Sequence[str], stages: click.Group) -> bool:
    """Check the files for the cluster; print the findings and return whether there are none.

    Args:
        names: of CHECKS; none: all of them.
        stages: the command line that `python -m PACKAGE` has in the images.
    """
    good = True
    for name in names or CHECKS:
        module, function = CHECKS[name]
        try:
            check = getattr(importlib.import_module(f".{module}", __package__), function)
            findings = list(dict.fromkeys(check(root, stages)))
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
