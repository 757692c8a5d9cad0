"""A real browser without a window, and what it sees of Polyaxon's dashboard."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from selenium import webdriver
from selenium.common.exceptions import JavascriptException, StaleElementReferenceException
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE = 60  # seconds for a page to show something
WORDS = (
    "--headless=new",
    "--no-sandbox",  # there is none for root, who runs the tests in a container
    "--disable-dev-shm-usage",
    "--disable-background-networking",  # what Chromium asks its makers for by itself
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--window-size=1400,1400",
)


class NoBrowser(Exception):
    """There is no browser on this machine; the text says how to get one."""


@contextmanager
def browser() -> Iterator[webdriver.Chrome]:
    """Chromium, or the Chrome that GitHub's machines have, which logs what a page says and loads."""
    chromium, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not (chromium and driver):
        raise NoBrowser("no browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for word in WORDS:
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    page = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield page
    finally:
        page.quit()


def shows(page: webdriver.Chrome, address: str, text: str) -> bool:
    """Open an address and wait until it shows a text."""
    page.get(address)
    # The page may replace its body between the moment that it is found and the one that it is read.
    wait = WebDriverWait(page, PATIENCE, ignored_exceptions=[StaleElementReferenceException])
    return wait.until(lambda page: text in page.find_element("tag name", "body").text)


def wait_for_curve(page: webdriver.Chrome, metric: str, width: float, height: float) -> None:
    """Wait until a metric's curve goes over these shares of its chart: it is drawn by an animation."""
    # Not looked at often: reading the canvas takes the browser's time from drawing it.
    # A canvas that has no size yet cannot be read.
    wait = WebDriverWait(page, PATIENCE, poll_frequency=3, ignored_exceptions=[JavascriptException])
    wait.until(lambda _: _drawn_curve(page, metric, width, height))


def _drawn_curve(page: webdriver.Chrome, metric: str, width: float, height: float) -> bool:
    """Whether what the browser has drawn in color on a metric's chart, a canvas, covers these shares of it."""
    curve = page.execute_script(CURVE, metric)
    return bool(curve) and curve["width"] > width and curve["height"] > height


# Of the canvas under the heading that is the metric's name: the extent of what is neither gray nor transparent.
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
