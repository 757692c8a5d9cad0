"""Serve a bundle on this machine, and find the servers that run."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import requests

from . import processes
from .errors import UserError
from .serving import starting
from .serving.bundle_files import BUNDLE, MODEL, environment_of

SERVERS = Path("build/servers")  # a folder of each server that `predict` may ask
# The variables that the server reads. Set in somebody's shell, they would change in silence what is served.
FOREIGN = ("PYTHON", "PREDICTIVE_UNIT_", "SELDON_", "GRPC_", "MODEL_", "SERVICE_TYPE", "TRACING", "MLOPS_")


def server(
    bundle: Path = BUNDLE, port: int = 0, log: int | None = None, publish: bool = True
) -> AbstractContextManager[tuple[str, subprocess.Popen]]:
    """Serve `bundle` while the block runs: give the URL and the process, once it is ready.

    Args:
        port: the port of REST; 0 takes a free one.
        log: a file descriptor for the server's output; None shares this process's.
        publish: let `predict` and `drift` find it.

    Raises:
        UserError: no bundle, no serving environment, the port is taken, or the server did not come up.
    """
    if not (bundle / MODEL).is_file():
        raise UserError(f"There is no bundle at {bundle}. Make it with: make package")
    check_free(port)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    kept["PYTHONDONTWRITEBYTECODE"] = "1"  # the bundle stays as it was made
    command = [str(serving_python()), "-m", "mlops.serving"]
    folder = _folder() if publish else None
    return starting.server(command, kept | environment_of(bundle), folder, port, cwd=bundle, stdout=log, stderr=log)


@contextmanager
def started(command: list[str], port: int, metrics_port: int) -> Iterator[tuple[str, subprocess.Popen]]:
    """Run a command that serves on these ports while the block runs: give the URL and the process, once it is ready."""
    check_free(port)
    url = f"http://{processes.HOST}:{port}"

    def ready() -> bool:
        try:
            return requests.get(f"{url}/health/status", timeout=2).ok
        except requests.RequestException:
            return False

    with processes.session(command) as process, tempfile.TemporaryDirectory(dir=_folder()) as own:
        processes.wait_until_ready(process, ready, starting.START_SECONDS, "The server")
        addresses = {"url": url, "metrics": f"http://{processes.HOST}:{metrics_port}/metrics"}
        (Path(own) / starting.ADDRESSES).write_text(json.dumps(addresses), encoding="utf-8")
        yield url, process


def published(address: str = "url") -> str | None:
    """Return an address of the server that was started last and runs: its `url`, or that of its `metrics` page."""
    for path in sorted(SERVERS.glob(f"*/{starting.ADDRESSES}"), key=lambda path: -path.stat().st_mtime):
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


def check_free(port: int) -> None:
    """Check that nothing listens at a port of this machine: it would be taken for the server that is started."""
    if port and processes.listens(port):
        raise UserError(f"Port {port} is taken. Give another with PORT=, or none to take a free one.")


def _folder() -> Path:
    SERVERS.mkdir(parents=True, exist_ok=True)
    return SERVERS.absolute()
