"""What a command starts ends with it, also when the signal to end comes at the worst moment."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PLATFORM = Path(__file__).resolve().parents[1] / "aisg-context/polyaxon"
NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]

# The signal comes when the program runs, and before whoever starts it knows its process.
SIGNALLED = """
import os, subprocess, sys
class Signalled(subprocess.Popen):
    def __init__(self, command, **how):
        super().__init__(command, **how)
        print(self.pid, flush=True)
        os.kill(os.getpid(), {number:d})
subprocess.Popen = Signalled
"""
SESSION = """
from {{ cookiecutter.src_package_name }} import sessions, signals
signals.exit_on_all()
with sessions.session(["sleep", "60"]):
    print("the block was entered")
"""
RUNNER = f"""
sys.path.insert(0, {str(PLATFORM)!r})
import runner
runner.main([sys.argv[1]])
"""

# Takes a second to end, and says that it has.
SLOW = "trap 'sleep 1; echo ended; exit' TERM; echo started; while :; do sleep 0.05; done"
TOLD = """
import sys
from {{ cookiecutter.src_package_name }} import sessions, signals
signals.exit_on_all()
with sessions.session(["sh", "-c", sys.argv[1]]) as process:
    process.wait()
"""


@pytest.fixture
def long(tmp_path) -> Path:
    """A Polyaxonfile of a job that lasts a minute."""
    path = tmp_path / "long.yml"
    container = "{image: none, command: [sleep, '60']}"
    path.write_text(f"version: 1.1\nkind: component\nrun: {% raw %}{{kind: job, container: {container}}}{% endraw %}\n")
    return path


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("code", [SESSION, RUNNER], ids=["session", "runner"])
def test_a_signal_while_a_program_is_started_ends_it(environment, tmp_path, long, number, code):
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED.format(number=number) + code, long],
        env=environment | {"POLYAXON_OFFLINE_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    (pid,) = done.stdout.split()
    assert not is_alive(int(pid))
    # Python ends by SIGINT itself where nothing catches KeyboardInterrupt.
    assert done.returncode in (128 + number, -number), done.stderr


def test_a_second_signal_does_not_leave_what_is_ending(environment, start):
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = start([sys.executable, "-c", TOLD, SLOW], env=environment, **quiet)
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    os.set_blocking(process.stdout.fileno(), False)  # where it was left, it has not said so yet
    assert process.stdout.readline() == "ended\n"


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
