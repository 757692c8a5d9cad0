"""The stages as commands: `python -m PACKAGE STAGE`."""

from pathlib import Path

from mlops import cli
from mlops.team import Team

from . import data


def network():
    """Import what needs torch, for the stages that need it."""
    from . import model, serving, training

    return model, training, serving


TEAM = Team(Path(__file__).parent, data, network)

if __name__ == "__main__":
    cli.stages(TEAM)(prog_name=f"python -m {__package__}")
