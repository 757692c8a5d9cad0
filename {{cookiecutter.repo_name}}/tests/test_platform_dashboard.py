"""`make ui` shows the runs made here in Polyaxon's own dashboard, in a real browser."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from browser import shows, wait_for_curve

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


def test_the_dashboard_shows_a_run_and_its_curve_and_later_the_next(browser, stage, data_file, in_workplace):
    workplace = in_workplace
    # Long enough for some seconds, because the chart's axis is time, in whole seconds.
    stage("train", "--name", "first-of-two", "--epochs", "30")
    with dashboard(workplace / "outputs") as (address, lines):
        assert shows(browser, f"{address}/ui/default/{PROJECT}/runs", "first-of-two")
        run = next(run for run in runs.recorded() if run.name == "first-of-two")
        page = f"{address}/ui/default/{PROJECT}/runs/{run.uuid}/dashboards"
        assert shows(browser, page, "accuracy")
        # The accuracy rises from the first epoch to the last: the curve goes over most of the chart, both ways.
        wait_for_curve(browser, "accuracy", width=0.5, height=0.3)
        browser.save_screenshot(str(workplace / "dashboard.png"))
    stage("train", "--name", "second-of-two", "--epochs", "1")
    with dashboard(workplace / "outputs") as (address, lines):
        assert lines[0].startswith("1 runs new or changed")
        assert shows(browser, f"{address}/ui/default/{PROJECT}/runs", "second-of-two")
        assert "first-of-two" in browser.find_element("tag name", "body").text
