"""The team's class: it runs in stock Seldon too, and what it does before and after the network is what is recorded."""

import base64
import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import requests
from conftest import ROOT
from mlops import local_server
from mlops.processes import free_port, session
from mlops.serving.bundle_files import environment_of
from serving_server import PREDICT, recorded, serve


@pytest.fixture(scope="module")
def stock(bundle, serving_python, tmp_path_factory):
    """The URL of seldon-core's own server with the same class."""
    settings, ports = environment_of(bundle), [free_port() for _ in range(3)]
    names = [f"PREDICTIVE_UNIT_{kind}_SERVICE_PORT" for kind in ("HTTP", "METRICS", "GRPC")]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PREDICTIVE"))}
    environment = inherited | settings | dict(zip(names, map(str, ports), strict=True))
    command = [serving_python.with_name("seldon-core-microservice"), settings["MODEL_NAME"], "--service-type", "MODEL"]
    url = f"http://127.0.0.1:{ports[0]}"
    log = tmp_path_factory.mktemp("stock") / "log"
    with log.open("wb") as out, session(list(map(str, command)), cwd=bundle, env=environment, stdout=out, stderr=out):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                assert requests.get(f"{url}/health/status", timeout=5).ok, log.read_text()
                break
            except requests.ConnectionError:
                time.sleep(0.1)
        yield url


def forms(digits):
    flat = [value for digit in digits for value in digit["inputs"]]
    yield {"data": {"ndarray": [digit["inputs"] for digit in digits]}}
    yield {"data": {"tensor": {"shape": [len(digits), 784], "values": flat}}}
    yield {"binData": base64.b64encode(bytes(map(int, flat))).decode()}


def test_stock_seldon_gives_the_recorded_answers(stock, bundle):
    digits = recorded(bundle)
    for message in forms(digits):
        answer = requests.post(f"{stock}{PREDICT}", json=message, timeout=20)
        assert answer.status_code == 200, answer.text
        data = answer.json()["data"]
        found = data["ndarray"] if "ndarray" in data else np.reshape(data["tensor"]["values"], data["tensor"]["shape"])
        assert np.allclose(found, [digit["outputs"] for digit in digits], atol=1e-5)
        assert data["names"] == json.loads((bundle / "metadata.json").read_text())["names"]


def test_stock_seldon_tells_health_metadata_and_takes_feedback(stock, bundle):
    run = json.loads((bundle / "metadata.json").read_text())["run"]["uuid"]
    assert requests.get(f"{stock}/health/status", timeout=20).json()["jsonData"]["run"] == run
    assert requests.get(f"{stock}/metadata", timeout=20).json()["versions"] == [run]
    feedback = {"reward": 1, "request": {"data": {"ndarray": [[0] * 784]}}}
    assert requests.post(f"{stock}/send-feedback", json=feedback, timeout=20).status_code == 200


def test_both_servers_tell_the_same_metadata(stock, bundle, serving_python):
    with serve(bundle, serving_python) as server:
        ours = requests.get(server.url("/metadata"), timeout=10).json()
    theirs = requests.get(f"{stock}/metadata", timeout=20).json()
    assert ours["custom"] == theirs["custom"]


OWN = """
import numpy as np
from mlops.errors import Refused
from mlops.serving.model import ServedModel


class Model(ServedModel):
    def predict(self, X, names=None, meta=None):
        inputs = self.read(X, names)
        if inputs.max() == 255 and inputs.min() == 255:
            raise Refused("An empty page.")
        answers = self.run(255 - inputs)
        return np.stack([answers.argmax(axis=1), answers.max(axis=1)], axis=1)

    def class_names(self):
        return ["digit", "sure"]

    def metrics(self):
        return [{"type": "COUNTER", "key": "own_total", "value": 2, "tags": {"of": "mine"}},
                {"type": "TIMER", "key": "own_time", "value": 3}]
"""


@pytest.fixture(scope="module")
def own(bundle, trained, workplace, data_file, environment, tmp_path_factory):
    """The bundle of a team with pre- and post-processing of its own."""
    source = tmp_path_factory.mktemp("own") / "src"
    shutil.copytree(ROOT / "src", source)
    shutil.copy(ROOT / "pyproject.toml", source.parent)
    (source / "digit_reader/serving.py").write_text(OWN)
    output = source.parent / "bundle"
    command = [sys.executable, "-m", "digit_reader", "package", "--run", trained, "--output", str(output)]
    done = subprocess.run(
        command,
        cwd=workplace,
        env=environment | {"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return output


def test_what_the_teams_class_answers_is_what_is_recorded_and_served(own, bundle, serving_python):
    digits = recorded(own)
    assert [len(digit["outputs"]) for digit in digits] == [2] * 10
    with serve(own, serving_python) as server:
        assert requests.get(server.url("/health/status"), timeout=10).ok
        body = {"data": {"ndarray": [digit["inputs"] for digit in digits]}}
        answer = requests.post(server.url(), json=body, timeout=10).json()
        assert np.allclose(answer["data"]["ndarray"], [digit["outputs"] for digit in digits], atol=1e-5)
        assert answer["data"]["names"] == ["digit", "sure"]
        refused = requests.post(server.url(), json={"data": {"ndarray": [[255] * 784]}}, timeout=10)
        assert (refused.status_code, refused.json()["status"]["info"]) == (400, "An empty page.")
        page = server.metrics()
        assert page['own_total{of="mine"}'] == 2
        command = [serving_python, "-m", "mlops.serving.smoke_test", "--url", server.url(""), "--bundle", str(own)]
        done = subprocess.run(command, cwd=own, env={}, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        command[-1] = str(bundle)
        done = subprocess.run(command, cwd=own, env={}, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1 and "REFUSED" in done.stderr


def test_answers_that_are_no_numbers_are_lists_in_every_form(bundle, serving_python):
    """A tensor holds numbers alone; a class of the team's may answer with names."""
    program = (
        "from mlops.serving.messages import answer\n"
        "for form in ('ndarray', 'tensor'): print(answer([['a'], ['b']], ['name'], form, {}).decode())"
    )
    done = subprocess.run([serving_python, "-c", program], cwd=bundle, capture_output=True, text=True, check=True)
    assert [json.loads(line)["data"] for line in done.stdout.splitlines()] == [
        {"names": ["name"], "ndarray": [["a"], ["b"]]}
    ] * 2


def test_the_class_needs_nothing_that_the_working_environment_lacks():
    """What it imports, it imports there: no server, no seldon-core."""
    program = (
        "import sys, digit_reader.serving\n"
        "print(*sorted({'uvicorn', 'seldon_core', 'orjson', 'onnxruntime', 'flask', 'torch'} & set(sys.modules)))"
    )
    environment = {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_servers_side_by_side_are_found_and_the_last_is_asked_first(bundle, in_workplace, serving_python):
    with local_server.server(bundle, log=subprocess.DEVNULL) as (first, _):
        with local_server.server(bundle, log=subprocess.DEVNULL) as (second, _):
            assert local_server.published() == second != first
        assert local_server.published() == first
        assert "model_requests_total" in requests.get(local_server.published("metrics"), timeout=10).text
    assert local_server.published() is None


WRONG = {  # variables as they are set in clusters and shells, and what the server says of them
    "MODEL_NAME": ("nowhere.Nothing", "makes no model: ModuleNotFoundError: No module named 'nowhere'"),
    "SERVICE_TYPE": ("TRANSFORMER", "SERVICE_TYPE is TRANSFORMER; it is one of: MODEL, ROUTER"),
    "SELDON_LOG_LEVEL": ("loud", "SELDON_LOG_LEVEL is LOUD; it is one of"),
    "PREDICTIVE_UNIT_PARAMETERS": ('[{"name": "size", "value": "7", "type": "INT"}]', "makes no model: TypeError"),
    "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": ("many", "is many; it is a whole number"),
    "PREDICTIVE_UNIT_METRICS_SERVICE_PORT": ("65536", "is 65536; it is a whole number up to 65535"),
    "GRPC_WORKERS": ("auto", "GRPC_WORKERS is auto; it is a whole number"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_variable_that_makes_no_sense_stops_the_start_with_a_sentence(bundle, serving_python, name):
    value, words = WRONG[name]
    with serve(bundle, serving_python, wait=False, **{name: value}) as server:
        assert server.process.wait(timeout=120) == 1
        said = server.output()
    assert words in said
    assert "Traceback" not in said


def test_a_port_that_is_taken_stops_the_start_with_a_sentence(bundle, serving_python):
    with serve(bundle, serving_python) as server:
        taken = {"PREDICTIVE_UNIT_HTTP_SERVICE_PORT": str(server.port)}
        with serve(bundle, serving_python, wait=False, **taken) as other:
            assert other.process.wait(timeout=120) == 1
            assert "in use" in other.output() and "Traceback" not in other.output()


@pytest.mark.parametrize("level", ["debug", "WARNING", "Error"])
def test_documented_switches_are_taken(bundle, serving_python, level):
    with serve(bundle, serving_python, SELDON_LOG_LEVEL=level, TRACING="1") as server:
        assert requests.get(server.url("/health/status"), timeout=10).ok
        assert ("TRACING is ignored" in server.output()) == (level != "Error")
