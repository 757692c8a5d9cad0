"""The real seldon-core-microservice on a bundle, on this machine."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import requests

from . import sessions
from .bundle_files import BUNDLE, HOST_VARIABLE, MODEL, environment_of
from .errors import UserError
from .files import atomic_file

ADDRESS_FILE = Path("build/serving.json")  # where `predict` finds the server that `serve` started
HOST = "127.0.0.1"
START_SECONDS = 60


@contextmanager
def server(
    bundle: Path = BUNDLE, port: int = 0, log: int | None = None, publish: bool = True
) -> Iterator[tuple[str, subprocess.Popen]]:
    """Serve `bundle` while the block runs: gives the URL and the process, once it is ready.

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
    how = {"cwd": bundle, "env": environment, "stdout": log, "stderr": log}
    with started(command, port, metrics_port, publish, **how) as running:
        yield running


@contextmanager
def started(
    command: list[str], port: int, metrics_port: int, publish: bool = True, **how
) -> Iterator[tuple[str, subprocess.Popen]]:
    """Run a command that serves on these ports while the block runs: gives the URL and the process, once it is ready.

    `how` goes to Popen. The server's whole session ends with the block.
    """
    if _listens(port):  # it would be taken for the server that is started here
        raise UserError(f"Port {port} is taken. Give another with PORT=, or none to take a free one.")
    url = f"http://{HOST}:{port}"
    with sessions.session(command, **how) as process:  # the server starts workers, which must end with it
        _wait_until_ready(url, metrics_port, process)
        with _published(url, f"http://{HOST}:{metrics_port}/metrics") if publish else nullcontext():
            yield url, process


def published(address: str = "url") -> str | None:
    """An address of the server that `serve` runs, if one does: its `url`, or that of its `metrics` page."""
    try:
        return json.loads(ADDRESS_FILE.read_text(encoding="utf-8"))[address]
    except (OSError, ValueError, KeyError):
        return None


def serving_python() -> Path:
    """The Python of the serving environment, which SERVING_VENV names."""
    folder = Path(os.environ.get("SERVING_VENV", ".venv-serving"))
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if not python.is_file():
        raise UserError(f"There is no serving environment at {folder}. Make it with: make setup")
    return python.absolute()


def _command(bundle: Path) -> tuple[list[str], dict[str, str]]:
    if not (bundle / MODEL).is_file():
        raise UserError(f"There is no bundle at {bundle}. Make it with: make package")
    settings = environment_of(bundle)
    # The working environment's PYTHONPATH must not hide the bundle's own copy of the code.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | settings
    microservice = serving_python().with_name("seldon-core-microservice")
    return [str(microservice), settings["MODEL_NAME"], "--service-type", settings["SERVICE_TYPE"]], environment


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def _listens(port: int) -> bool:
    """Whether somebody answers at a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _wait_until_ready(url: str, metrics_port: int, process: subprocess.Popen) -> None:
    """Until the model answers and the metrics page, which a process of its own serves, is there."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise UserError(
                f"The server ended with exit code {process.returncode} before it was ready; see what it said."
            )
        try:
            if requests.get(f"{url}/health/status", timeout=2).ok and _listens(metrics_port):
                return
        except requests.RequestException:
            pass
        time.sleep(0.1)
    raise UserError(f"The server was not ready after {START_SECONDS} s.")


@contextmanager
def _published(url: str, metrics: str) -> Iterator[None]:
    with atomic_file(ADDRESS_FILE) as draft:
        draft.write_text(json.dumps({"url": url, "metrics": metrics}), encoding="utf-8")
    try:
        yield
    finally:
        if published() == url:  # and not that of a server that was started later
            ADDRESS_FILE.unlink()
