"""make try, in a real browser: a digit that is drawn, a picture that is uploaded and a form are answered.

Run in a repository of pictures and in one of a table: each has the tests that its schema is for.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys

import pytest
from conftest import ROOT
from mlops import project
from mlops import schema as schemas
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

pytestmark = pytest.mark.slow
PATIENCE = 120
IS_TABLE = (ROOT / "tests/samples.csv").is_file()
pictures_only = pytest.mark.skipif(IS_TABLE, reason="the repository's model takes rows")
tables_only = pytest.mark.skipif(not IS_TABLE, reason="the repository's model takes pictures")
# Names that Markdown or HTML would read as something else
HOSTILE = {"a_b*c*[x](http://x)": [1.5, None, 2.5], "<b>&": [7.0, 3.0], "kind $x$": ["red", "~~blue~~"]}


@pytest.fixture
def page(start, environment):
    """Type `make try` for a bundle; gives the process and the page's address."""

    def run(bundle):
        words = ["make", "try", f"VENV={sys.prefix}", f"ARGS=--bundle={bundle}"]
        process = start(
            [*words, f"SERVING_VENV={environment['SERVING_VENV']}"],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        printed = []
        for line in process.stdout:
            printed.append(line)
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                return process, found[0]
        raise AssertionError("".join(printed))

    return run


def open_page(browser, address: str, width: int = 1280) -> None:
    screen = {"width": width, "height": 1200, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get(address)
    wait_for(browser, project.name())


def wait_for(browser, pattern: str) -> str:
    """Wait until the page shows a text; gives all that it shows."""

    def shows(page) -> str | bool:
        text = page.execute_script("return document.body.innerText")
        return text if re.search(pattern, text) else False

    return WebDriverWait(browser, PATIENCE).until(shows)


def stays_here(browser) -> None:
    """Nothing was asked of another machine, and the page is not wider than the screen."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
    assert urls and not [url for url in urls if not url.startswith(("http://127.0.0.1:", "data:", "blob:"))]
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")


def draw_a_one(browser) -> None:
    """Draw a stroke on the canvas, which is in a shadow root."""
    canvas = WebDriverWait(browser, PATIENCE).until(
        lambda page: page.execute_script(
            """const all = root => [...root.querySelectorAll('*')].flatMap(
              one => [one, ...(one.shadowRoot ? all(one.shadowRoot) : [])]);
            return all(document).find(one => one.matches('canvas.upper-canvas'))"""
        )
    )
    stroke = ActionChains(browser, duration=20).move_to_element_with_offset(canvas, 0, -90).click_and_hold()
    for _ in range(9):
        stroke = stroke.move_by_offset(0, 20)
    stroke.release().perform()


@pictures_only
@pytest.mark.parametrize("width", [1280, 390])
def test_a_digit_is_drawn_and_a_picture_uploaded_and_each_is_answered(browser, page, bundle, width):
    process, address = page(bundle)
    open_page(browser, address, width)
    draw_a_one(browser)
    wait_for(browser, r"Answer: 1\s+probability \d+\.\d%, run [0-9a-f]{32}")
    browser.find_element(By.XPATH, "//label[contains(., 'Upload')]").click()
    upload = WebDriverWait(browser, PATIENCE).until(lambda page: page.find_element(By.CSS_SELECTOR, "input[type=file]"))
    upload.send_keys(str(ROOT / "tests/images/4-test-0.png"))
    wait_for(browser, "Answer: 4")
    wait_for(browser, "What the model was given")
    stays_here(browser)
    end_with_ctrl_c(process, address)


@tables_only
@pytest.mark.parametrize("width", [1280, 390])
def test_a_form_is_filled_in_and_answered(browser, page, bundle, width):
    process, address = page(bundle)
    open_page(browser, address, width)
    columns = [column.name for column in schemas.read(bundle.parents[1] / schemas.FILE).inputs.used]
    wait_for_fields(browser, columns)
    ask(browser)
    wait_for(browser, r"Answer: (benign|malignant)\s+probability")
    stays_here(browser)
    end_with_ctrl_c(process, address)


@tables_only
def test_a_form_has_choices_missing_values_and_a_number_for_an_answer(browser, page, stage, tmp_path):
    for name in ("serving-requirements.txt", "serving.env", "pyproject.toml", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    header = ",".join(f'"{name}"' for name in (*HOSTILE, "cost"))
    rows = [[values[number % len(values)] for values in HOSTILE.values()] for number in range(200)]
    lines = [",".join("" if value is None else str(value) for value in [*row, n % 17]) for n, row in enumerate(rows)]
    (tmp_path / "own.csv").write_text("\n".join([header, *lines]), encoding="utf-8")
    for words in (["prepare", "--source", "own.csv", "--target", "cost", "--task", "number"], ["train"], ["package"]):
        stage(*words, cwd=tmp_path)
    _, address = page(tmp_path / "build/bundle")
    open_page(browser, address)
    used = [column.name for column in schemas.read(tmp_path / schemas.FILE).inputs.used]
    assert len(used) == 3
    wait_for_fields(browser, used)
    ask(browser)
    wait_for(browser, r"Answer: -?\d")


def wait_for_fields(browser, names: list[str]) -> None:
    """Wait until the form shows its fields' names as they are, in their order."""
    text = "return document.body.innerText"
    wait = WebDriverWait(browser, PATIENCE)
    wait.until(lambda page: [line for line in page.execute_script(text).splitlines() if line in names] == names)


def ask(browser) -> None:
    browser.find_element(By.XPATH, "//button[contains(., 'Ask the model')]").send_keys(Keys.ENTER)


def end_with_ctrl_c(process, address: str) -> None:
    """Ctrl-C ends the page and its server, in a line and without a traceback."""
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == -signal.SIGINT and "Stopped." in said and "Traceback" not in said, said
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) != 0
