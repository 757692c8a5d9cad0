"""The stages as commands, the same on a laptop, in the Makefile, in the Polyaxonfiles and in the workflow."""

import gc
import sys
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from . import dataset as datasets

# Only what starts fast is imported here; a stage imports its own libraries when it runs.
from . import processes
from .cli_asking import PATH, batch, drift, predict, serve, try_model
from .errors import Stopped, UserError
from .platform import check as checks
from .runs import SCORE
from .serving.bundle_files import BUNDLE
from .team import Team
from .tracking import NAME_VARIABLE

DATA = click.option("--data", "data_file", type=PATH, default=datasets.FILE, help="The file that prepare wrote.")
SETTINGS = {"help_option_names": ["-h", "--help"], "show_default": True}


class Stages(click.Group):
    """The stages of a team. They answer a user's mistake with one message."""

    team: Team

    def invoke(self, context: click.Context):
        processes.exit_on_signals()
        gc.set_threshold(10_000)  # the default, 700, costs a tenth of the time of large imports
        try:
            self._check_origin()
            return super().invoke(context)
        except UserError as error:
            raise click.ClickException(str(error)) from None
        except OSError as error:  # no space, no permission, a file where a folder should be
            if error.filename is None:
                raise
            raise click.ClickException(f"{error.filename}: {error.strerror}.") from None
        except Stopped as stopped:
            click.echo(stopped, err=True)
            sys.exit(128 + stopped.number)

    def resolve_command(self, context: click.Context, args: list[str]):
        """Find a stage; `train` gets the team's hyperparameters as options, which need torch to be read."""
        name, command, rest = super().resolve_command(context, args)
        if name == "train" and command:
            options = [_option(item) for item in fields(self.team.code().training.Hyperparameters)]
            command = click.Command(
                name, callback=command.callback, params=[*command.params, *options], help=command.help
            )
        return name, command, rest

    def _check_origin(self) -> None:
        """Refuse to run with the mlops of another repository, which a shared environment can bring in."""
        ours = self.team.package.resolve().parent
        if Path(__file__).resolve().parents[1] != ours:
            raise UserError(
                f"mlops was imported from {Path(__file__).parent}, not from {ours}. Type: export PYTHONPATH={ours}"
            )


def stages(team: Team) -> Stages:
    """Return the commands of a team's package."""
    group = Stages(
        "stages", context_settings={**SETTINGS, "obj": team}, help="Train, package and serve a model.",
        commands=[
            prepare, train, best, compare, package, serve, try_model, predict, batch, drift, run_pipeline, check
        ],
    )  # fmt: skip
    group.team = team
    return group


@click.command()
@click.option("--source", help="Default: the one that schema.toml records, else the package's own.")
@click.option("--target", help="Of a table: the column that the model is to tell.")
@click.option("--group", help="Of a table: rows that are alike in this column stay in one split.")
@click.option("--time", help="Of a table: later rows, by this column, test what earlier ones taught.")
@click.option("--task", type=click.Choice(["classes", "number"]), help="Of a table: what the target is.")
@click.option("--delimiter", help="Of CSV, where the one that is found is wrong; so with the next two.")
@click.option("--encoding")
@click.option("--decimal", help="The decimal mark.")
@click.option("--output", type=PATH, default=datasets.FILE)
@click.pass_obj
def prepare(team: Team, output: Path, **given: str | None) -> None:
    """Write a source as one file of tensors, and the schema the first time."""
    request = team.request(**{name: value or None for name, value in given.items()})
    dataset = team.prepare(request, output)
    for line in dataset.report:
        click.echo(line)
    counts = ", ".join(f"{count} {name}" for name, count in dataset.counts.items())
    click.echo(f"{output}: {counts}; source {request.source}, digest {dataset.origin['digest']}")


def _option(item: Field) -> click.Option:
    """Return a hyperparameter as an option."""
    limits = dict(item.metadata)
    text, choices = limits.pop("help"), limits.pop("choices", None)
    kind: click.ParamType
    if choices:
        kind = click.Choice(choices)
    elif item.type is int:
        kind = click.IntRange(min=limits.get("min"))
    else:
        low, high = limits.get("above", limits.get("min")), limits.get("below")
        kind = click.FloatRange(min=low, max=high, min_open="above" in limits, max_open=high is not None)
    return click.Option([f"--{item.name.replace('_', '-')}"], type=kind, help=text, show_default=False)


@click.command()
@DATA
@click.option("--bucket", help="Google Cloud Storage bucket to copy the model to.")
@click.option("--name", default="train", envvar=NAME_VARIABLE, help="Name of the run.")
@click.option("--resume", metavar="UUID", help="Go on with a run that was stopped, with its own hyperparameters.")
@click.option(
    "--distributed", "distributed_job", is_flag=True, help="One of several processes, as torchrun starts them."
)
@click.pass_obj
def train(
    team: Team, data_file: Path, bucket: str | None, name: str, resume: str | None, distributed_job: bool, **given: Any
) -> None:
    """Train one model, recorded as one run."""
    from . import distributed, trainer

    if not resume:
        team.check_data(data_file)
    code = team.code()
    context = click.get_current_context()
    typed = [key for key in ("name", *given) if context.get_parameter_source(key) == ParameterSource.COMMANDLINE]
    if resume and typed:
        names = ", ".join(f"--{key.replace('_', '-')}" for key in typed)
        raise UserError(f"--resume goes on with the run's own hyperparameters; leave out {names}.")
    chosen = {key: value for key, value in given.items() if value is not None}
    hyperparameters = None if resume else code.training.hyperparameters(**chosen)
    trainer.train(code, hyperparameters, data_file, name, bucket, resume, distributed_job)
    if distributed_job:
        distributed.exit_now()


@click.command()
@DATA
@click.option("--metric", default=SCORE)
@click.option("--mode", type=click.Choice(["max", "min"]), default="max")
@click.option("--run", "uuid", help="This run (its uuid or the beginning of it) and no other.")
@click.option("--id", "only_id", is_flag=True, help="Print the best run's id alone, for scripts.")
@click.pass_obj
def best(team: Team, data_file: Path, metric: str, mode: str, uuid: str | None, only_id: bool) -> None:
    """Rank the runs of the data and code of now; list those of others below."""
    from . import runs

    ranking = runs.Ranking([runs.find(uuid)], []) if uuid else runs.rank(_lineage(team, data_file), metric, mode)
    click.echo(ranking.best.uuid if only_id else runs.table(ranking, metric))


@click.command()
@DATA
@click.option("--run", "uuids", multiple=True, help="One of the two, by its uuid or its beginning. Default: the best.")
@click.pass_obj
def compare(team: Team, data_file: Path, uuids: tuple[str, ...]) -> None:
    """Show two runs side by side: inputs, metrics, and whether chance explains the difference."""
    from . import compare as comparison
    from . import runs

    pair = comparison.pair(uuids, lambda: runs.rank(_lineage(team, data_file)).comparable)
    click.echo("\n".join(comparison.report(*pair)))


def _lineage(team: Team, data_file: Path) -> dict[str, str]:
    team.check_data(data_file)
    return team.lineage(datasets.read_origin(data_file))


@click.command()
@DATA
@click.option("--run", "uuid", help="A run's uuid or its beginning. Default: the best run.")
@click.option("--output", type=PATH, default=BUNDLE)
@click.pass_obj
def package(team: Team, data_file: Path, uuid: str | None, output: Path) -> None:
    """Make a serving bundle of a run."""
    from . import bundle, lineage, runs

    run = runs.find(uuid) if uuid else runs.rank(_lineage(team, data_file)).best
    metadata = bundle.package(team.code(), run, output, data_file)
    code = f"other code than {', '.join(lineage.TRAINING_CODE)} are now"
    for key, now, what in (
        ("code_digest", lineage.code_digest(team.package), code),
        ("mlops_digest", lineage.mlops_digest(), "another version of src/mlops"),
    ):
        if run.inputs.get(key) != now:
            click.echo(f"Run {run.uuid} was trained by {what}.", err=True)
    told = f"{metadata['metric']} {metadata['metrics'][SCORE]:.4f} on validation"
    click.echo(f"{output}: run {run.uuid}, {told}; ONNX Runtime answers as PyTorch does")


@click.command("pipeline")
@click.pass_obj
def run_pipeline(team: Team) -> None:
    """Run every stage from the data to answers, each only where its inputs have changed."""
    from . import pipeline

    pipeline.run(team, click.echo)


@click.command()
@click.option("--root", type=click.Path(path_type=Path, exists=True, file_okay=False), hidden=True)
@click.argument("names", nargs=-1, type=click.Choice(checks.CHECKS))
@click.pass_context
def check(context: click.Context, root: Path | None, names: tuple[str, ...]) -> None:
    """Check the platform's files with the tools that will read them; NAMES chooses among the checks."""
    from . import project

    group = context.find_root().command
    assert isinstance(group, click.Group)
    sys.exit(0 if checks.run(root or project.ROOT, names, group) else 1)
