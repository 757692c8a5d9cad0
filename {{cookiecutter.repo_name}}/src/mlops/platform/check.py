"""`make check`: the files for the cluster, judged by the tools that will read them. It needs no cluster.

Each finding names a file and a field. A check whose tool is missing says NOT CHECKED, which fails where CI is set.
YAML's syntax, Dockerfiles, shell scripts and CI's files are judged by `make lint`: see .pre-commit-config.yaml.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path

import click

from ..errors import UserError

CHECKS = {  # the module and the function of each
    "polyaxonfiles": (".check_polyaxon", "check_polyaxonfiles"),
    "kubernetes": (".check_kubernetes", "check_manifests"),
    "names": (".check_kubernetes", "check_names"),
    "argo": (".check_argo", "check_argo"),
    "seldon": (".check_seldon", "check_seldon"),
    "conda": (".check", "check_conda"),
}


def run(root: Path, names: Sequence[str], stages: click.Group) -> bool:
    """Print the findings of these of CHECKS, or of all; return whether there are none. `stages` are the commands."""
    good = True
    for name in names or CHECKS:
        try:
            findings = list(dict.fromkeys(_find(name, root, stages)))
        except (ImportError, UserError) as error:
            package = getattr(error, "name", None)
            reason = f"{package} is not installed; it comes with: make check" if package else error
            click.echo(f"{name}: NOT CHECKED: {reason}")
            good &= not os.environ.get("CI")
            continue
        except Exception as error:  # a file is so wrong that this check cannot read it: another one says why
            reason = " ".join(f"{type(error).__name__} {error}".split())
            click.echo(f"{name}: NOT CHECKED: {reason}. Fix what the other checks and make lint find first")
            good = False
            continue
        click.echo("\n  ".join([f"{name}: {f'{len(findings)} to fix' if findings else 'ok'}", *findings]))
        good &= not findings
    return good


def _find(name: str, root: Path, stages: click.Group) -> Iterable[str]:
    """Return the findings of one of CHECKS; only then its tool is imported, which may be missing."""
    module, function = CHECKS[name]
    return getattr(import_module(module, __package__), function)(root, stages)


def check_conda(root: Path, _: click.Group) -> Iterator[str]:
    """Yield the packages that conda itself would refuse; pip's are in pyproject.toml."""
    import yaml
    from rattler import MatchSpec

    for path in sorted(root.glob("*-conda-env.yml")):
        for number, entry in enumerate(yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]):
            try:
                MatchSpec(entry, strict=True) if isinstance(entry, str) else None
            except Exception as error:  # rattler's exceptions have no stable name in Python
                yield f"{path.name}: dependencies.{number}: {entry}: {error}"
