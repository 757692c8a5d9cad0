"""Servers as processes to be measured: started, waited for, weighed, ended."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Running:
    """A server in a session of its own; `ready` is how many seconds it took to answer `path` with 200."""

    def __init__(self, command, port: int, path: str, cwd, environment: dict, seconds: float = 60):
        self.port = port
        self.log = tempfile.NamedTemporaryFile(prefix="bench-", suffix=".log")  # noqa: SIM115 (closed by `end`)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GUNICORN"))}
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env=inherited | environment,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while not self._answers(path):
                if self.process.poll() is not None or time.perf_counter() - began > seconds:
                    said = Path(self.log.name).read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"{command[0]} did not come up:\n{said}")
                time.sleep(0.005)
        except BaseException:  # Ctrl-C too: nobody else can end it yet
            self.end()
            raise
        self.ready = time.perf_counter() - began

    def _answers(self, path: str) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", path)
            return connection.getresponse().status == 200
        return False

    def megabytes(self) -> float:
        """Memory of all its processes, pages that they share counted once (PSS); Linux only."""
        total = 0
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ValueError, IndexError):
                if os.getsid(int(folder.name)) == self.process.pid:
                    lines = (folder / "smaps_rollup").read_text().splitlines()
                    total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return total / 1024

    def end(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(self.process.pid, number)
                self.process.wait(timeout=10)
        self.log.close()


def environment_of(bundle) -> dict:
    """The variables that the bundle's server is started with."""
    lines = (Path(bundle) / ".s2i/environment").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def ports() -> dict:
    """A free port for each of what a server listens at, by Seldon's variables."""
    return {f"PREDICTIVE_UNIT_{kind}_SERVICE_PORT": str(free_port()) for kind in ("HTTP", "METRICS", "GRPC")}


def ours(python, bundle) -> Running:
    """The bundle, as its image serves it."""
    settings = environment_of(bundle) | ports()
    port = int(settings["PREDICTIVE_UNIT_HTTP_SERVICE_PORT"])
    command = [Path(python).absolute(), "-m", "mlops.serving"]
    return Running(command, port, "/health/status", bundle, settings)


def stock(python, bundle) -> Running:
    """A bundle's class in seldon-core's own server."""
    settings = environment_of(bundle) | {"GRPC_WORKERS": "0", **ports()}
    port = int(settings["PREDICTIVE_UNIT_HTTP_SERVICE_PORT"])
    command = [Path(python).absolute().with_name("seldon-core-microservice"), settings["MODEL_NAME"]]
    return Running([*command, "--service-type", "MODEL"], port, "/health/status", bundle, settings)
