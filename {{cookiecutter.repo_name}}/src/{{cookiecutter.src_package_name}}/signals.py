"""The signals that ask a command to end: Ctrl-C, kill, and the SIGHUP of a terminal that closes."""

import signal
import sys


def endings() -> list[signal.Signals]:
    """Those that are listened to: nohup has a command ignore SIGHUP, and that stays so."""
    hang_up = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGINT, signal.SIGTERM, *hang_up]


def exit_on_all() -> None:
    """Let each of them end this command as Ctrl-C does: what it started is ended too."""
    for number in endings():
        if number != signal.SIGINT:
            signal.signal(number, lambda number, frame: sys.exit(128 + number))
