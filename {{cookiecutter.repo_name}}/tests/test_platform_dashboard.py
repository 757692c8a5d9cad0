"""`make ui` shows the runs made here in Polyaxon's own dashboard, in a real browser."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium.webdriver.support.ui import WebDriverWait

from {{ cookiecutter.src_package_name }} import runs

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / "aisg-context/polyaxon/dashboard.py"
PROJECT = "{{ cookiecutter.repo_name }}"
PATIENCE = 60  # seconds for a page to show something


@pytest.fixture(scope="module")
def browser():
    """Chromium, or the Chrome that GitHub's machines have, without a window."""
    chromium, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not (chromium and driver):
        reason = "no browser: apt-get install chromium chromium-driver"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1400,1400"):
        options.add_argument(word)
    page = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield page
    page.quit()


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


def test_ctrl_c_while_it_starts_leaves_no_server(tmp_path):
    environment = os.environ | {"POLYAXON_OFFLINE_ROOT": str(tmp_path)}
    process = subprocess.Popen([sys.executable, PROGRAM, "--port", "1"], env=environment, stderr=subprocess.DEVNULL)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    limit = time.monotonic() + PATIENCE
    while not (server := children.read_text().strip()) and time.monotonic() < limit:
        time.sleep(0.05)
    time.sleep(1)  # it waits for the server now, which takes some seconds
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=40)
    assert server and not Path("/proc", server).exists()


def shows(browser, address: str, text: str) -> bool:
    browser.get(address)
    return WebDriverWait(browser, PATIENCE).until(lambda page: text in page.find_element("tag name", "body").text)


def test_the_dashboard_shows_a_run_and_its_curve_and_later_the_next(browser, stage, data_file, in_workplace):
    workplace = in_workplace
    # Long enough for some seconds, because the chart's axis is time, in whole seconds.
    stage("train", "--name", "first-of-two", "--epochs", "30")
    with dashboard(workplace / "outputs") as (address, lines):
        assert shows(browser, f"{address}/ui/default/{PROJECT}/runs", "first-of-two")
        run = next(run for run in runs.recorded() if run.name == "first-of-two")
        page = f"{address}/ui/default/{PROJECT}/runs/{run.uuid}/dashboards"
        assert shows(browser, page, "accuracy")
        # The accuracy rises from the first epoch to the last: the curve goes over most of the chart, both ways. It is
        # drawn by an animation, so it is looked at until it does.
        # Not looked at often: reading the canvas takes the browser's time from drawing it.
        patient = WebDriverWait(browser, PATIENCE, poll_frequency=3)
        patient.until(lambda _: drawn_curve(browser, "accuracy", width=0.5, height=0.3))
        browser.save_screenshot(str(workplace / "dashboard.png"))
    stage("train", "--name", "second-of-two", "--epochs", "1")
    with dashboard(workplace / "outputs") as (address, lines):
        assert lines[0].startswith("1 runs new or changed")
        assert shows(browser, f"{address}/ui/default/{PROJECT}/runs", "second-of-two")
        assert "first-of-two" in browser.find_element("tag name", "body").text


def drawn_curve(browser, metric: str, width: float, height: float) -> bool:
    """Whether what the browser has drawn in colour on a metric's chart, a canvas, covers these shares of it."""
    curve = browser.execute_script(CURVE, metric)
    return bool(curve) and curve["width"] > width and curve["height"] > height


# Of the canvas under the heading that is the metric's name: the extent of what is neither grey nor clear.
CURVE = """
const leaves = [...document.querySelectorAll('*')].filter(element => !element.children.length);
let panel = leaves.find(element => element.textContent.trim() == arguments[0]);
while (panel && !panel.querySelector('canvas')) panel = panel.parentElement;
if (!panel) return null;
const canvas = panel.querySelector('canvas'), {width, height} = canvas;
const data = canvas.getContext('2d').getImageData(0, 0, width, height).data;
let [left, right, top, bottom] = [width, -1, height, -1];
for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
  const at = 4 * (y * width + x), r = data[at], g = data[at + 1], b = data[at + 2], alpha = data[at + 3];
  if (alpha < 128 || Math.max(r, g, b) - Math.min(r, g, b) < 60) continue;
  left = Math.min(left, x); right = Math.max(right, x); top = Math.min(top, y); bottom = Math.max(bottom, y);
}
return right < 0 ? null : {width: (right - left) / width, height: (bottom - top) / height};
"""
