"""`make ui`: the real Polyaxon server and dashboard on this machine, with the runs made here. Ctrl-C ends it.

The server listens on loopback only. It keeps its database and its copies of the runs in outputs/dashboard/, which can
be deleted at any time. Runs that are made while it is open are shown too, a few seconds after they end.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import requests

from .. import processes, project, tracking
from ..errors import UserError
from . import user_errors

OWNER, PROJECT = project.OWNER, project.name()
OUTPUTS = project.outputs()
STATE = OUTPUTS / "dashboard"
LOG, PUSHED = STATE / "server.log", STATE / "pushed.json"
START_SECONDS = 90  # it makes its database first
ENVIRONMENT = {
    "HOME": str(STATE / "home"),  # Polyaxon writes ~/.polyaxon: not into the user's own
    "POLYAXON_CONTEXT_ROOT": str(STATE / "context"),
    # SQLite: without waiting for its turn, a write is refused while another runs
    "POLYAXON_DB_OPTIONS": json.dumps({"transaction_mode": "IMMEDIATE", "timeout": 30}),
    "POLYAXON_UI_OFFLINE": "true",  # the page's parts come from this server, not from the internet
    "POLYAXON_UI_IN_SANDBOX": "true",  # so that the server serves them
}


@contextlib.contextmanager
def server(port: int) -> Iterator[subprocess.Popen]:
    """Run the server while the block runs; it is ready to answer."""
    haupt = Path(sys.executable).with_name("haupt")
    if not haupt.is_file():
        raise UserError("Polyaxon's server is not installed; it comes with: make ui")
    if processes.listens(port):
        raise UserError(f"Port {port} is taken. Choose another: make ui PORT={port + 1}")
    for name in ("home", "context", "sandbox"):
        (STATE / name).mkdir(parents=True, exist_ok=True)
    place = [f"--port={port}", f"--host={processes.HOST}", "--workers=1", f"--path={STATE / 'sandbox'}"]
    options = {"env": os.environ | ENVIRONMENT, "stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    with (
        LOG.open("w", encoding="utf-8") as log,
        processes.session([str(haupt), "sandbox", "start", *place], stdout=log, **options) as process,
    ):
        try:
            processes.wait_until_ready(process, lambda: _is_healthy(port), START_SECONDS, "The server")
        except UserError as error:
            end = LOG.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise UserError(f"{error} Its log is {LOG}:\n{end}") from None
        yield process


def _is_healthy(port: int) -> bool:
    with contextlib.suppress(requests.RequestException):
        return requests.get(f"http://{processes.HOST}:{port}/healthz/", timeout=5).ok
    return False


def connect(port: int):
    """Return Polyaxon's client for the server, once the project is on it."""
    host = f"http://{processes.HOST}:{port}"
    os.environ.update(ENVIRONMENT | {"POLYAXON_HOST": host})  # read when polyaxon is imported
    from polyaxon.client import ProjectClient, RunClient

    if requests.get(f"{host}/api/v1/{OWNER}/{PROJECT}", timeout=30).status_code == 404:
        ProjectClient(owner=OWNER, project=PROJECT).create({"name": PROJECT})
    return RunClient


def read_json(file: Path) -> dict | None:
    """Return the content of a JSON file; None where there is none, or a kill cut it short."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def push(client, pushed: dict[str, int]) -> list[str]:
    """Send the server each run that is new, or has changed, since it was `pushed`, and that nobody trains now."""
    names = []
    for record in sorted(OUTPUTS.glob("runs/*/run.plx.json"), key=lambda path: path.stat().st_mtime):
        run_uuid, changed = record.parent.name, record.stat().st_mtime_ns
        if pushed.get(run_uuid) == changed or read_json(record) is None or is_being_trained(record.parent):
            continue
        names.append(send(client, record.parent))
        pushed[run_uuid] = changed
    PUSHED.write_text(json.dumps(pushed), encoding="utf-8")
    return names


def is_being_trained(folder: Path) -> bool:
    """Return whether a process trains this run now, which holds the lock of its folder until it ends or is killed."""
    try:
        with tracking.exclusive_lock(folder):
            return False
    except UserError:
        return True


def send(client, folder: Path) -> str:
    """Send a run to the server; return its name."""
    from polyaxon.exceptions import ApiException

    here = {"run_uuid": folder.name, "is_offline": True, "manual_exceptions_handling": True}
    run = client(owner=OWNER, project=PROJECT, **here)
    run.load_offline_run(path=str(folder), run_client=run, reset_project=True, raise_if_not_found=True)
    name = run.run_data.name or folder.name
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # a progress bar for each file
            run.push_offline_run(path=str(folder))
    except ApiException as error:
        if error.status != 400:
            raise
        # The server takes a run once: one that was resumed stays there as it was
        name += f", which the server shows as it was before; to see all anew, remove {STATE}"
    return name


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--port", type=click.IntRange(1, 65535), default=8117)
@user_errors()
def main(port: int) -> None:
    """Show the runs made here in Polyaxon's dashboard, until Ctrl-C."""
    with server(port) as process:
        client = connect(port)
        pushed = read_json(PUSHED) or {}  # the runs that the server has, each as it was then
        names = push(client, pushed)
        click.echo(f"{len(names)} runs new or changed, {len(pushed)} in all")
        click.echo(f"http://{processes.HOST}:{port}/ui/{OWNER}/{PROJECT}/runs   Ctrl-C ends it.")
        while process.poll() is None:
            time.sleep(3)
            for name in push(client, pushed):
                click.echo(f"new: {name}")
    raise UserError(f"The server ended by itself; its log is {LOG}")


if __name__ == "__main__":
    main(prog_name="dashboard")
