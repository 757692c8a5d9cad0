"""Start other programs, wait until they are ready, and end them: with the signals that ask this one to end.

Imports the standard library only: both environments and the images use it.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from .errors import UserError

HOST = "127.0.0.1"
GRACE = 15  # seconds that a program has to end by itself before it is killed


def free_port() -> int:
    """Return a port of this machine that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def listens(port: int) -> bool:
    """Return whether something accepts connections at a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def wait_until_ready(process: subprocess.Popen, ready: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until `ready` gives True. UserError where the process ended first, or the time ran out."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise UserError(f"{what} ended with exit code {process.returncode} before it was ready; see its output.")
        if ready():
            return
        time.sleep(0.1)
    raise UserError(f"{what} was not ready after {seconds:g} s.")


def termination_signals() -> list[signal.Signals]:
    """Ctrl-C, kill, and the SIGHUP of a terminal that closes, but none that nohup, say, had ignored."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def exit_on_signals() -> None:
    """Let each termination signal end this program and what it started, with one line.

    Outside of the main thread, where Python handles no signal, nothing is done.
    """
    if threading.current_thread() is threading.main_thread():
        for number in termination_signals():
            signal.signal(number, _exit)


def _exit(number: int, frame: object) -> None:
    os.write(2, b"Stopped.\n")  # print could be the one that was interrupted
    # Python only reports what is raised in the callback of a weak reference, as importing has, and would go on
    sys.unraisablehook = lambda lost: os._exit(128 + number) if lost.exc_type is SystemExit else None
    sys.exit(128 + number)


@contextmanager
def collected_signals() -> Iterator[list[int]]:
    """Collect the termination signals that arrive during the block, instead of ending the program."""
    caught: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: caught.append(number)) for number in termination_signals()
    }
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def deferred_signals() -> Iterator[None]:
    """Defer termination signals until the block exits, then raise the first one again.

    Outside of the main thread, where Python handles no signal, nothing is deferred.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    try:
        with collected_signals() as caught:
            yield
    finally:
        if caught:
            signal.raise_signal(caught[0])


@deferred_signals()
def end(processes: Sequence[subprocess.Popen], grace: float = GRACE) -> None:
    """End processes that lead a session each, and all that they started: ask first, then kill."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        alive = [process for process in processes if process.poll() is None]
        for process in alive:
            os.killpg(process.pid, number)
        deadline = time.monotonic() + grace
        while any(process.poll() is None for process in alive) and time.monotonic() < deadline:
            time.sleep(0.02)


@contextmanager
def session(command: Sequence[str], **options) -> Iterator[subprocess.Popen]:
    """Run a program in a session of its own, which ends with the block; `options` go to Popen.

    Signals are deferred while it starts or ends: one in between would leave it running.
    """
    with ExitStack() as at_exit:
        with deferred_signals():
            process = subprocess.Popen(command, start_new_session=True, **options)
            at_exit.callback(end, [process])
        yield process
