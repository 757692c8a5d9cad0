"""The check of the conda environment: each entry by the parser of conda's own package specifications."""

from collections.abc import Iterator
from pathlib import Path

import click
import yaml
from rattler import MatchSpec

from .manifests import Finding


def check_conda(root: Path, stages: click.Group) -> Iterator[Finding]:
    """The packages that conda itself installs; pip's are in pyproject.toml."""
    for path in sorted(root.glob("*-conda-env.yml")):
        for number, entry in enumerate(yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]):
            try:
                MatchSpec(entry, strict=True) if isinstance(entry, str) else None
            except Exception as error:  # rattler's exceptions have no stable name in Python
                yield Finding(path.relative_to(root), f"dependencies.{number}", f"{entry}: {error}")
