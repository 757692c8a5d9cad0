"""The signals that ask a command to end: Ctrl-C, kill, and the SIGHUP of a terminal that closes."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def endings() -> list[signal.Signals]:
    """Those that are listened to: nohup has a command ignore SIGHUP, and that stays so."""
    hang_up = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGINT, signal.SIGTERM, *hang_up]


def exit_on_all() -> None:
    """Let each of them end this command as Ctrl-C does: what it started is ended too."""
    for number in endings():
        if number != signal.SIGINT:
            signal.signal(number, lambda number, frame: sys.exit(128 + number))


@contextmanager
def collected() -> Iterator[list[int]]:
    """Those that come while the block runs, in the list it gives: they end nothing."""
    caught: list[int] = []
    before = {number: signal.signal(number, lambda number, frame: caught.append(number)) for number in endings()}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def held() -> Iterator[None]:
    """Those that come while the block runs come when it has run, as the first of them.

    In a thread other than the main one nothing is held: no signal is handled there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    try:
        with collected() as caught:
            yield
    finally:
        if caught:
            signal.raise_signal(caught[0])
