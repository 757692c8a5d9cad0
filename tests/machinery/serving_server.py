"""A real server for the tests: seldon-core-microservice on a bundle, from the serving environment."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import requests
from mlops.processes import free_port, listens
from mlops.serving.bundle_files import environment_of

JSON = {"Content-Type": "application/json"}
PREDICT = "/api/v1.0/predictions"
EXAMPLES = "model_examples_total"


class Server:
    """One server's addresses, process and output."""

    def __init__(self, bundle, python, environment, before=()):
        self.port, self.metrics_port, self.grpc_port = free_port(), free_port(), free_port()
        self.bundle = Path(bundle)
        settings = {
            **environment_of(self.bundle),
            "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": str(self.port),
            "PREDICTIVE_UNIT_METRICS_SERVICE_PORT": str(self.metrics_port),
            "PREDICTIVE_UNIT_GRPC_SERVICE_PORT": str(self.grpc_port),
            **environment,
        }
        ours = ("PYTHON", "GUNICORN", "PREDICTIVE", "SELDON", "MODEL_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        command = [
            Path(python).absolute().parent / "seldon-core-microservice",
            settings["MODEL_NAME"],
            "--service-type",
            "MODEL",
        ]
        self.log = tempfile.NamedTemporaryFile(prefix="server-", suffix=".log")  # noqa: SIM115 (closed by `end`)
        self.process = subprocess.Popen(
            [*map(str, before), *map(str, command)],
            cwd=self.bundle,
            env={**inherited, **settings},
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def url(self, path: str = PREDICT) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def output(self) -> str:
        return Path(self.log.name).read_text(encoding="utf-8", errors="replace")

    def wait_until_ready(self, seconds: float = 30.0) -> None:
        """Return when /health/status answers 200 and the metrics page is there, which a process of its own serves.

        AssertionError with the server's output when they do not come.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(requests.RequestException):
                healthy = requests.get(self.url("/health/status"), timeout=5).status_code == 200
                if healthy and listens(self.metrics_port):
                    return
            time.sleep(0.02)
        raise AssertionError(f"the server was not ready in {seconds} s; it said:\n{self.output()[-3000:]}")

    def workers(self) -> list:
        """Process ids of the REST server's workers, as gunicorn's log tells and as are still alive."""
        lines = [line for line in self.output().splitlines() if "Booting worker with pid: " in line]
        pids = [int(line.rsplit("pid: ", 1)[1]) for line in lines]
        return [pid for pid in pids if _parent(pid) == self.process.pid]

    def metrics(self, examples: int, seconds: float = 20.0) -> dict:
        """The metrics page once it counts so many examples and stands still: a worker counts after it has answered.

        The page as it is then, when it never does.
        """
        end, seen = time.monotonic() + seconds, None
        while (found := self._metrics()) != seen or (found[EXAMPLES] < examples and time.monotonic() < end):
            seen = found
            time.sleep(0.1)
        return found

    def _metrics(self) -> dict:
        """The page: {name with its own labels, such as 'model_predictions_total{class="7"}': value}."""
        page = requests.get(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5)
        assert page.status_code == 200
        found = {}
        for line in page.text.splitlines():
            if line.startswith("model_"):
                name, _, rest = line.partition("{")
                labels, _, value = rest.rpartition("} ")
                own = ("code", "class", "statistic", "le", "run")
                kept = [label for label in labels.split(",") if label.split("=")[0] in own]
                found[name + ("{" + ",".join(kept) + "}" if kept else "")] = float(value)
        return found

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=10)
        self.log.close()


def _parent(pid: int):
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])
    except OSError:
        return None


@contextlib.contextmanager
def serve(bundle, python, before=(), wait=True, **environment):
    """A server that is ready, and ended with all its processes. `before` goes before the command."""
    server = Server(bundle, python, environment, before)
    try:
        if wait:
            server.wait_until_ready()
        yield server
    finally:
        server.end()


def recorded(bundle) -> list:
    """The bundle's recorded answers: label, inputs and outputs of ten digits."""
    return json.loads((Path(bundle) / "recorded-answers.json").read_text())


def answers_right(server) -> bool:
    """Whether the server still reads a digit, as its model did when it was packaged."""
    digit = recorded(server.bundle)[3]
    answer = requests.post(server.url(), json={"data": {"ndarray": [digit["inputs"]]}}, timeout=10)
    assert answer.status_code == 200, answer.text
    found = answer.json()["data"]["ndarray"][0]
    return max(abs(a - b) for a, b in zip(found, digit["outputs"], strict=True)) < 1e-4
