"""The machinery, the same for every problem: data, runs, training, bundles, serving, the platform's files.

`make upgrade` renews this package. It never imports the team's package, which hands it what it needs.
"""

import sys


def _show(kind, error, trace) -> None:
    """Show an uncaught exception; Ctrl-C while a program imports its modules is one line, as it is later."""
    if kind is KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _show
