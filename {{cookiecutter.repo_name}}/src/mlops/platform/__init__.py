"""The platform's files: run on a laptop, checked, built into images, deployed."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from ..errors import UserError


@contextmanager
def user_errors() -> Iterator[None]:
    """Show a UserError of the block, or of the command that this decorates, as click shows its own errors."""
    try:
        yield
    except UserError as error:
        raise click.ClickException(str(error)) from None
