"""`make ui` shows the runs made here in Polyaxon's own dashboard, in a real browser."""

import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from browser import PATIENCE, shows, wait_for_curve
from conftest import ROOT
from mlops import processes, project, runs
from mlops.platform.dashboard import is_being_trained

PROGRAM = [sys.executable, "-m", "mlops.platform.dashboard"]
PROJECT = project.name(ROOT)


@contextmanager
def dashboard(folder: Path, environment: dict[str, str]):
    """The dashboard over the runs in a folder; gives its address, and the lines that it printed until it was ready."""
    port = processes.free_port()
    here = environment | {"MLOPS_OUTPUTS": str(folder)}
    process = subprocess.Popen([*PROGRAM, "--port", str(port)], env=here, stdout=subprocess.PIPE, text=True)
    try:
        lines = []
        while not lines or "http://" not in lines[-1]:
            line = process.stdout.readline()
            assert line, f"it ended: {lines}"
            lines.append(line)
        yield f"http://127.0.0.1:{port}", lines
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=40) in (143, -signal.SIGTERM)
    assert not processes.listens(port), "the server is still there"


def test_ctrl_c_while_it_starts_leaves_no_server(tmp_path, environment, start):
    environment = environment | {"MLOPS_OUTPUTS": str(tmp_path)}
    process = start([*PROGRAM, "--port", "1"], env=environment, stderr=subprocess.DEVNULL)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    limit = time.monotonic() + PATIENCE
    while not (server := children.read_text().strip()) and time.monotonic() < limit:
        time.sleep(0.05)
    time.sleep(1)  # it waits for the server now, which takes some seconds
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=40) == 128 + signal.SIGINT
    assert server and not Path("/proc", server).exists()


LOCKS = """
import pathlib, signal, sys
from mlops import tracking
with tracking.exclusive_lock(pathlib.Path(sys.argv[1])):
    print(flush=True)
    signal.pause()
"""


def test_a_run_is_sent_when_nobody_trains_it_any_more_also_after_a_kill(tmp_path, environment):
    command = [sys.executable, "-c", LOCKS, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as trains:
        trains.stdout.readline()
        assert is_being_trained(tmp_path)
        trains.kill()
    assert not is_being_trained(tmp_path)


def test_the_dashboard_shows_a_run_and_its_curve_and_later_the_next(browser, stage, apart, environment):
    # Long enough for some seconds, because the chart's axis is time, in whole seconds.
    stage("train", "--name", "first-of-two", "--epochs", "8", cwd=apart)
    with dashboard(apart / "outputs", environment) as (address, lines):
        assert shows(browser, f"{address}/ui/default/{PROJECT}/runs", "first-of-two")
        run = next(run for run in runs.recorded() if run.name == "first-of-two")
        page = f"{address}/ui/default/{PROJECT}/runs/{run.uuid}/dashboards"
        assert shows(browser, page, "score")
        # The score rises from the first epoch to the last: the curve goes over most of the chart, both ways.
        wait_for_curve(browser, "score", width=0.5, height=0.3)
        browser.save_screenshot(str(apart / "dashboard.png"))
    stage("train", "--name", "second-of-two", "--epochs", "1", cwd=apart)
    with dashboard(apart / "outputs", environment) as (address, lines):
        assert lines[0].startswith("1 runs new or changed")
        assert shows(browser, f"{address}/ui/default/{PROJECT}/runs", "second-of-two")
        assert shows(browser, f"{address}/ui/default/{PROJECT}/runs", "first-of-two")
