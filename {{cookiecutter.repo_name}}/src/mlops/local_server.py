"""The server of a bundle, on this machine."""

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
from .processes import HOST
from .serving import starting
from .serving.bundle_files import BUNDLE, MODEL, environment_of

ADDRESSES = Path("build/servers")  # where `predict` finds the servers that run
# What the server reads of its surroundings. Set in somebody's shell, they would change in silence what is served.
FOREIGN = ("PYTHON", "PREDICTIVE_UNIT_", "SELDON_", "GRPC_", "MODEL_", "SERVICE_TYPE", "TRACING", "MLOPS_")


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
    if port and processes.listens(port):
        raise UserError(f"Port {port} is taken. Give another with PORT=, or none to take a free one.")
    environment |= {
        "PYTHONDONTWRITEBYTECODE": "1",  # the bundle stays as it was made
        "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": str(port),
    }
    with (
        starting.server(command, environment, cwd=bundle, stdout=log, stderr=log) as (addresses, process),
        _published(addresses, process.pid) if publish else nullcontext(),
    ):
        yield addresses["url"], process


@contextmanager
def started(command: list[str], port: int, metrics_port: int) -> Iterator[tuple[str, subprocess.Popen]]:
    """Run a command that serves on these ports while the block runs: give the URL and the process, once it is ready."""
    if processes.listens(port):  # it would be taken for the server that is started here
        raise UserError(f"Port {port} is taken. Give another with PORT=, or none to take a free one.")
    url = f"http://{HOST}:{port}"

    def ready() -> bool:
        try:
            return requests.get(f"{url}/health/status", timeout=2).ok
        except requests.RequestException:
            return False

    with processes.session(command) as process:
        processes.wait_until_ready(process, ready, starting.START_SECONDS, "The server")
        with _published({"url": url, "metrics": f"http://{HOST}:{metrics_port}/metrics"}, process.pid):
            yield url, process


def published(address: str = "url") -> str | None:
    """Return an address of the server that was started last and runs: its `url`, or that of its `metrics` page."""
    for path in sorted(ADDRESSES.glob("*.json"), key=lambda path: -path.stat().st_mtime):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))[address]
        except (OSError, ValueError, KeyError):
            continue
        if processes.listens(int(found.split(":")[2].partition("/")[0])):
            return found
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
    return [str(serving_python()), "-m", "mlops.serving"], environment


@contextmanager
def _published(addresses: dict[str, str], pid: int) -> Iterator[None]:
    """Let `predict` and `drift` find a server while the block runs; there may be several."""
    path = ADDRESSES / f"{pid}.json"
    with atomic_file(path) as draft:
        draft.write_text(json.dumps(addresses), encoding="utf-8")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
