"""A real server for the tests: `python -m mlops.serving` on a bundle, from the serving environment."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import requests
from mlops.processes import free_port
from mlops.serving.bundle_files import environment_of

__all__ = ["free_port"]
JSON = {"Content-Type": "application/json"}
PREDICT = "/api/v1.0/predictions"
EXAMPLES = "model_examples_total"
PORTS = {f"PREDICTIVE_UNIT_{kind}_SERVICE_PORT": "0" for kind in ("HTTP", "METRICS")}
IMAGE = [0] * 784


def nd(values) -> bytes:
    """Return the body of a request with these lists."""
    return json.dumps({"data": {"ndarray": values}}).encode()


class Server:
    """One server's addresses, process and output."""

    def __init__(self, bundle, python, environment, before=(), writes=True):
        self.bundle, self.folder = Path(bundle), tempfile.TemporaryDirectory(prefix="server-")
        self.addresses, self.grpc_port = Path(self.folder.name) / "addresses.json", free_port()
        settings = {
            **(environment_of(self.bundle) if (self.bundle / ".s2i").is_dir() else {}),
            **PORTS,
            "PREDICTIVE_UNIT_GRPC_SERVICE_PORT": str(self.grpc_port),
            "MLOPS_HOST": "127.0.0.1",
            "MLOPS_ADDRESS_FILE": str(self.addresses),
            **environment,
        }
        self.given = () if writes else (free_port(), free_port())
        if not writes:
            settings |= dict(zip(PORTS, map(str, self.given), strict=True)) | {"MLOPS_ADDRESS_FILE": ""}
        ours = ("PYTHON", "PREDICTIVE", "MLOPS")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self.log = (Path(self.folder.name) / "log").open("wb")
        self.process = subprocess.Popen(
            [*map(str, before), str(Path(python).absolute()), "-m", "mlops.serving"],
            cwd=self.bundle, env={**inherited, **settings}, stdout=self.log, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

    def _addresses(self) -> dict | None:
        """Return the addresses once the server answers: on a disk that it cannot write to, the ports are given."""
        if self.given:
            http, metrics = (f"http://127.0.0.1:{port}" for port in self.given)
            with contextlib.suppress(requests.RequestException):
                return (
                    {"url": http, "metrics": f"{metrics}/metrics"}
                    if requests.get(f"{http}/health/ping", timeout=2)
                    else None
                )
        return json.loads(self.addresses.read_text(encoding="utf-8")) if self.addresses.is_file() else None

    def url(self, path: str = PREDICT) -> str:
        return self.base + path

    def output(self) -> str:
        return Path(self.log.name).read_text(encoding="utf-8", errors="replace")

    def wait_until_ready(self, seconds: float = 30.0) -> None:
        """Return when the server has said where it listens. AssertionError with its output when it does not."""
        end = time.monotonic() + seconds
        while not (addresses := self._addresses()):
            assert time.monotonic() < end and self.process.poll() is None, (
                f"it is not ready; it said:\n{self.output()[-3000:]}"
            )
            time.sleep(0.02)
        self.base, self.page = addresses["url"], addresses["metrics"]
        self.port = int(self.base.rpartition(":")[2])

    def metrics(self, seconds: float = 20.0) -> dict:
        """The metrics page: {name with its own labels, such as 'model_predictions_total{class="7"}': value}."""
        page = requests.get(self.page, timeout=seconds)
        assert page.status_code == 200
        lines = [line for line in page.text.splitlines() if not line.startswith("#")]
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=10)
        self.log.close()
        self.folder.cleanup()


@contextlib.contextmanager
def serve(bundle, python, before=(), wait=True, writes=True, **environment):
    """A server that is ready, and ended with all its processes. `before` goes before the command."""
    server = Server(bundle, python, environment, before, writes)
    try:
        if wait:
            server.wait_until_ready()
        yield server
    finally:
        server.end()


def recorded(bundle) -> list:
    """The bundle's recorded answers: label, inputs and outputs of ten digits."""
    return json.loads((Path(bundle) / "recorded-answers.json").read_text())


def answers_right(server, session=requests) -> bool:
    """Whether the server still reads a digit, as its model did when it was packaged."""
    digit = recorded(server.bundle)[3]
    answer = session.post(server.url(), json={"data": {"ndarray": [digit["inputs"]]}}, timeout=10)
    assert answer.status_code == 200, answer.text
    found = answer.json()["data"]["ndarray"][0]
    return max(abs(a - b) for a, b in zip(found, digit["outputs"], strict=True)) < 1e-4
