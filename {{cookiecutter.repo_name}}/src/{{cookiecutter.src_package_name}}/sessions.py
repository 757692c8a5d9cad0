"""A program that a command starts in a session of its own: it, and all that it starts, ends with the command."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from . import signals

GRACE = 15  # seconds that it has to end by itself


@contextmanager
def session(command: list[str], **how) -> Iterator[subprocess.Popen]:
    """Run a program while the block runs; `how` goes to Popen.

    A signal waits until the program is known here, or has ended: one in between would leave it running.
    """
    with ExitStack() as at_the_end:
        with signals.held():
            process = subprocess.Popen(command, start_new_session=True, **how)
            at_the_end.callback(_end, process)
        yield process


def _end(process: subprocess.Popen) -> None:
    with signals.held():
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
                process.wait(GRACE)
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue
