"""The real seldon-core-microservice on a bundle, on this machine."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import requests

from . import processes
from .errors import UserError
from .files import atomic_file
from .processes import HOST, free_port
from .serving.bundle_files import BUNDLE, HOST_VARIABLE, MODEL, environment_of

ADDRESS_FILE = Path("build/serving.json")  # where `predict` finds the server that `serve` started
START_SECONDS = 60
# What the server reads of its surroundings. Set in somebody's shell, they would change in silence what is served.
FOREIGN = ("PYTHON", "GUNICORN_", "PREDICTIVE_UNIT_", "SELDON_", "FLASK_", "GRPC_", "MODEL_", "SERVICE_TYPE", "TRACING")


@contextmanager
def server(
    bundle: Path = BUNDLE, port: int = 0, log: int | None = None, publish: bool = True
) -> Iterator[tuple[str, subprocess.Popen]]:
    """Serve `bundle` while the block runs: give the URL and the process, once it is ready.

    Args:
        port: of REST; 0 takes a free one.
        log: a file descriptor for what the server says; None shares this process's.
        publish: let `predict` find it.

    Raises:
        UserError: no bundle, no serving environment, the port is taken, or the server did not come up.
    """
    command, environment = _command(bundle)
    port, grpc_port, metrics_port = port or free_port(), free_port(), free_port()
    environment |= {
        "PYTHONDONTWRITEBYTECODE": "1",  # the bundle stays as it was made
        HOST_VARIABLE: HOST,  # asked from this machine, and by no other
        "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": str(port),
        "PREDICTIVE_UNIT_GRPC_SERVICE_PORT": str(grpc_port),
        "PREDICTIVE_UNIT_METRICS_SERVICE_PORT": str(metrics_port),
    }
    options = {"cwd": bundle, "env": environment, "stdout": log, "stderr": log}
    with started(command, port, metrics_port, publish, **options) as running:
        yield running


@contextmanager
def started(
    command: list[str], port: int, metrics_port: int, publish: bool = True, **options
) -> Iterator[tuple[str, subprocess.Popen]]:
    """Run a command that serves on these ports while the block runs: give the URL and the process, once it is ready.

    `options` go to Popen. The server's whole session ends with the block.
    """
    if processes.listens(port):  # it would be taken for the server that is started here
        raise UserError(f"Port {port} is taken. Give another with PORT=, or none to take a free one.")
    url = f"http://{HOST}:{port}"

    def ready() -> bool:  # the metrics page has a process of its own
        try:
            return requests.get(f"{url}/health/status", timeout=2).ok and processes.listens(metrics_port)
        except requests.RequestException:
            return False

    with processes.session(command, **options) as process:  # the server starts workers, which must end with it
        processes.wait_until_ready(process, ready, START_SECONDS, "The server")
        with _published(url, f"http://{HOST}:{metrics_port}/metrics") if publish else nullcontext():
            yield url, process


def published(address: str = "url") -> str | None:
    """Return an address of the server that `serve` runs, if one does: its `url`, or that of its `metrics` page."""
    try:
        return json.loads(ADDRESS_FILE.read_text(encoding="utf-8"))[address]
    except (OSError, ValueError, KeyError):
        return None


def serving_python() -> Path:
    """Return the Python of the serving environment, which SERVING_VENV names."""
    folder = Path(os.environ.get("SERVING_VENV", ".venv-serving"))
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if not python.is_file():
        raise UserError(f"There is no serving environment at {folder}. Make it with: make setup")
    return python.absolute()


def _command(bundle: Path) -> tuple[list[str], dict[str, str]]:
    if not (bundle / MODEL).is_file():
        raise UserError(f"There is no bundle at {bundle}. Make it with: make package")
    settings = environment_of(bundle)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)} | settings
    microservice = serving_python().with_name("seldon-core-microservice")
    return [str(microservice), settings["MODEL_NAME"], "--service-type", settings["SERVICE_TYPE"]], environment


@contextmanager
def _published(url: str, metrics: str) -> Iterator[None]:
    with atomic_file(ADDRESS_FILE) as draft:
        draft.write_text(json.dumps({"url": url, "metrics": metrics}), encoding="utf-8")
    try:
        yield
    finally:
        if published() == url:  # and not that of a server that was started later
            ADDRESS_FILE.unlink()
