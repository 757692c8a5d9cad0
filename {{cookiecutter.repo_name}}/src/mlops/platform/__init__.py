"""The platform's files: run on a laptop, checked, built into images, deployed."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from .. import processes
from ..errors import UserError


@contextmanager
def user_errors() -> Iterator[None]:
    """Show a UserError of the block, or of the command that this decorates, as click shows its own errors.

    A signal, such as Ctrl-C's, ends it with one line and all that it started.
    """
    processes.exit_on_signals()
    try:
        yield
    except UserError as error:
        raise click.ClickException(str(error)) from None
