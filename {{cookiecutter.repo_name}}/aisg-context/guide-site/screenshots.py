"""`make screenshots`: pictures for the guide of Polyaxon's dashboard, as it shows the runs made here.

They go to build/screenshots/, where pictures.py looks for them, and are taken of the dashboard of `make ui`.
"""

import socket
import sys
from pathlib import Path

import click
from browser import PATIENCE, browser, shows, wait_for_curve
from pictures import SCREENSHOT_NAMES, SCREENSHOTS, screenshot
from selenium.common.exceptions import NoSuchElementException, TimeoutException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

sys.path.append(str(Path(__file__).resolve().parents[1] / "polyaxon"))
import dashboard  # it lies beside the platform's files

GROUP = "hparam-group"  # the group that `make sweep` trains: its runs are named after it


def recorded() -> list[dict]:
    """The runs made here, newest first, as their records say."""
    runs = filter(None, map(dashboard.content, dashboard.OUTPUTS.glob("runs/*/run.plx.json")))
    return sorted(runs, key=lambda run: run["created_at"], reverse=True)


def set_size(page, height: int) -> None:
    """Make the browser's window as high as what is to be seen."""
    size = {"width": 1200, "height": height, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def take(page, name: str) -> None:
    """Keep what the browser shows."""
    page.save_screenshot(str(screenshot(name)))
    click.echo(f"build/screenshots/{name}.png")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Take the guide's pictures of the dashboard."""
    runs = recorded()
    single = next((run for run in runs if run["status"] == "succeeded" and GROUP not in run["name"]), None)
    if not single:
        raise click.ClickException("There is no trained run to show yet. Make one with: make pipeline")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name in SCREENSHOT_NAMES:
        screenshot(name).unlink(missing_ok=True)  # an old picture would show what is no longer so
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    dashboard.signals.exit_on_all()
    try:
        with dashboard.server(port), browser() as page:
            dashboard.push(dashboard.connect(port), dashboard.already_pushed())
            take_all(page, f"http://127.0.0.1:{port}/ui", single, runs)
    except (TimeoutException, NoSuchElementException) as error:
        raise click.ClickException(f"The dashboard does not show its page; its log is {dashboard.LOG}") from error


def take_all(page, ui: str, single: dict, runs: list[dict]) -> None:
    """Each picture, when the page shows what it is of."""
    project = f"{ui}/{dashboard.OWNER}/{dashboard.PROJECT}"
    set_size(page, 420)
    shows(page, f"{ui}/orgs/{dashboard.OWNER}/projects", dashboard.PROJECT)
    take(page, "dashboard-projects")
    set_size(page, 640)
    if any(GROUP in run["name"] for run in runs):
        shows(page, f"{project}/runs", GROUP)
        take(page, "dashboard-group")
    else:
        click.echo("Not taken: dashboard-group. It shows the runs of a group; train one with: make sweep")
    set_size(page, 1080)
    shows(page, f"{project}/runs/{single['uuid']}/dashboards", "accuracy")
    show_steps(page)
    wait_for_curve(page, "accuracy", width=0.5, height=0.3)
    take(page, "dashboard-curve")


def show_steps(page) -> None:
    """Draw the curves over the steps: a short run has few points over time, which goes by whole seconds."""
    page.find_element("css selector", "button[aria-label='Configure x-axis']").click()
    axis = WebDriverWait(page, PATIENCE).until(lambda page: page.find_element("css selector", "select"))
    Select(axis).select_by_value("step")
    ActionChains(page).send_keys(Keys.ESCAPE).perform()
    WebDriverWait(page, PATIENCE).until(lambda page: not page.find_elements("css selector", "select"))


if __name__ == "__main__":
    main(prog_name="screenshots")
