"""What a command starts ends with it, also when the signal to end comes at the worst moment."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlops import processes
from mlops.errors import UserError

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
from mlops import processes
processes.exit_on_signals()
with processes.session(["sleep", "60"]):
    print("the block was entered")
"""
RUNNER = """
from mlops.platform import runner
runner.main([sys.argv[1]])
"""

# Takes a second to end, and says that it has.
SLOW = "trap 'sleep 1; echo ended; exit' TERM; echo started; while :; do sleep 0.05; done"
TOLD = """
import sys
from mlops import processes
processes.exit_on_signals()
with processes.session(["sh", "-c", sys.argv[1]]) as process:
    process.wait()
"""


@pytest.fixture
def long(tmp_path) -> Path:
    """A Polyaxonfile of a job that lasts a minute."""
    path = tmp_path / "long.yml"
    container = "{image: none, command: [sleep, '60']}"
    path.write_text(f"version: 1.1\nkind: component\nrun: {{kind: job, container: {container}}}\n")
    return path


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("code", [SESSION, RUNNER], ids=["session", "runner"])
def test_a_signal_while_a_program_is_started_ends_it(environment, tmp_path, long, number, code):
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED.format(number=number) + code, long],
        env=environment | {"MLOPS_OUTPUTS": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    (pid,) = done.stdout.split()
    assert has_ended(int(pid))
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


def test_what_ends_by_itself_or_never_gets_ready_is_said():
    with (
        processes.session(["false"]) as process,
        pytest.raises(UserError, match="The thing ended with exit code 1 before"),
    ):
        processes.wait_until_ready(process, lambda: False, 30, "The thing")
    with processes.session(["sleep", "60"]) as process:
        with pytest.raises(UserError, match=r"The thing was not ready after 0\.3 s"):
            processes.wait_until_ready(process, lambda: False, 0.3, "The thing")
        processes.wait_until_ready(process, lambda: True, 30, "The thing")
    assert not is_alive(process.pid)


def test_what_does_not_end_when_it_is_asked_is_killed_with_what_it_started():
    stubborn = "trap '' TERM; sleep 61 & echo $!; wait; wait"
    with processes.session(["sh", "-c", stubborn], stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        processes.end([process], grace=0.3)
        assert process.poll() == -signal.SIGKILL
        assert has_ended(child)


def test_a_signal_is_deferred_until_the_block_ends():
    seen = []
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append("handled"))
    try:
        with processes.deferred_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)
            assert seen == []
        assert seen == ["handled"]
    finally:
        signal.signal(signal.SIGTERM, before)


def has_ended(pid: int, within: float = 10.0) -> bool:
    """Whether a process that was killed ends: the signal of another process takes its time on a busy machine."""
    end = time.monotonic() + within
    while is_alive(pid) and time.monotonic() < end:
        time.sleep(0.01)
    return not is_alive(pid)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[0] != "Z"
    except OSError:
        return False


CALLBACK = """
import os, signal, weakref
from mlops import processes

class Thing:
    pass

processes.exit_on_signals()
thing = Thing()
reference = weakref.ref(thing, lambda _: (os.kill(os.getpid(), signal.SIGINT), list(range(1000))))
del thing
print("went on")
"""


def test_a_signal_counts_where_python_would_only_report_its_exception(environment):
    done = subprocess.run(
        [sys.executable, "-c", CALLBACK], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Stopped.\n")
