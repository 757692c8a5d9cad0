"""`make ui` shows the runs made here in Polyaxon's own dashboard, in a real browser."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from browser import PATIENCE, shows, wait_for_curve

from {{ cookiecutter.src_package_name }} import runs

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / "aisg-context/polyaxon/dashboard.py"
PROJECT = "{{ cookiecutter.repo_name }}"


@contextmanager
def dashboard(folder: Path):
    """The dashboard over the runs in a folder; gives its address, and the lines that it printed until it was ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"POLYAXON_OFFLINE_ROOT": str(folder)}
    process = subprocess.Popen(
        [sys.executable, PROGRAM, "--port", str(port)], env=environment, stdout=subprocess.PIPE, text=True
    )
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
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "the server is still there"


def test_ctrl_c_while_it_starts_leaves_no_server(tmp_path, start):
    environment = os.environ | {"POLYAXON_OFFLINE_ROOT": str(tmp_path)}
    process = start([sys.executable, PROGRAM, "--port", "1"], env=environment, stderr=subprocess.DEVNULL)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    limit = time.monotonic() + PATIENCE
    while not (server := children.read_text().strip()) and time.monotonic() < limit:
        time.sleep(0.05)
    time.sleep(1)  # it waits for the server now, which takes some seconds
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=40) == 0
    assert server and not Path("/proc", server).exists()


def test_the_dashboard_shows_a_run_and_its_curve_and_later_the_next(browser, stage, apart):
    # Long enough for some seconds, because the chart's axis is time, in whole seconds.
    stage("train", "--name", "first-of-two", "--epochs", "30", cwd=apart)
    with dashboard(apart / "outputs") as (address, lines):
        assert shows(browser, f"{address}/ui/default/{PROJECT}/runs", "first-of-two")
        run = next(run for run in runs.recorded() if run.name == "first-of-two")
        page = f"{address}/ui/default/{PROJECT}/runs/{run.uuid}/dashboards"
        assert shows(browser, page, "accuracy")
        # The accuracy rises from the first epoch to the last: the curve goes over most of the chart, both ways.
        wait_for_curve(browser, "accuracy", width=0.5, height=0.3)
        browser.save_screenshot(str(apart / "dashboard.png"))
    stage("train", "--name", "second-of-two", "--epochs", "1", cwd=apart)
    with dashboard(apart / "outputs") as (address, lines):
        assert lines[0].startswith("1 runs new or changed")
        assert shows(browser, f"{address}/ui/default/{PROJECT}/runs", "second-of-two")
        assert shows(browser, f"{address}/ui/default/{PROJECT}/runs", "first-of-two")
