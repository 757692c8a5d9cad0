"""Run a Polyaxonfile on this machine: Polyaxon compiles it, and the container's command runs as a process.

    python -m mlops.platform.runner train -P epochs=2
    python -m mlops.platform.runner hparam-group --dry-run

Done as on the cluster: inputs and their types, references, variables, a matrix with its concurrency and its early
stopping, hyperband, a graph's order, the processes of a distributed job, the record of each run. Not done: images,
connections and secrets, resources, presets, retries, timeouts, probes, schedules, cache, hooks, and parameters that a
graph's operation takes from another. Operations of a graph run one after another.
"""

import sys
from pathlib import Path

import click

from .. import project
from ..errors import UserError
from . import user_errors


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-P", "--param", "params", multiple=True, metavar="NAME=VALUE", help="A value for an input; repeatable.")
@click.option("--concurrency", type=click.IntRange(min=1), help="Runs of a matrix at a time: at most its concurrency.")
@click.option("--dry-run", is_flag=True, help="Print the commands, and run nothing.")
@click.argument("file")
@user_errors()
def main(file: str, params: tuple[str, ...], concurrency: int | None, dry_run: bool) -> None:
    """Run a Polyaxonfile on this machine. FILE is a path, or the name of one of the repository's own.

    The container's command runs as a process. Images, secrets, resources, presets, retries and schedules are for the
    cluster.
    """
    folder = project.ROOT / project.POLYAXON / "polyaxonfiles"
    path = Path(file) if Path(file).is_file() else folder / f"{file.removesuffix('.yml')}.yml"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in folder.glob("*.yml")))
        raise UserError(f"There is no Polyaxonfile {file}. There are: {known}.")
    if "polyaxon" not in sys.modules:
        click.echo("Loading Polyaxon", err=True)  # it takes seconds
    from . import compilation
    from .operations import Runner

    compilation.use_platform()
    with compilation.explained(path.name):
        operation = compilation.read(path, list(params))
    given: dict[str, object] = {name: value for name, _, value in (each.partition("=") for each in params)}
    sys.exit(0 if Runner(dry_run, concurrency).run(operation, path.stem, given) else 1)


if __name__ == "__main__":
    main(prog_name="runner")
