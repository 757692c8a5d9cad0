"""The surroundings decide nothing in silence: variables of Polyaxon, launchers and servers, another mlops."""

import http.server
import json
import shutil
import signal
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlops import client, local_server, processes, project, runs
from mlops import dataset as datasets
from mlops.serving.bundle_files import read_metadata

OTHER = "f" * 32  # the uuid of a run that the platform made
SHORT = ("train", "--train-steps", "3")


class Platform:
    """A stand-in for Polyaxon's API that says yes to everything; `asked` holds each request's method and path."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        platform = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                platform.asked.append(f"{self.command} {self.path}")
                content = {
                    "uuid": OTHER,
                    "owner": "default",
                    "project": project.name(),
                    "name": "train",
                    "status": "running",
                }
                if self.command == "PATCH":
                    content |= json.loads(body or b"{}")
                answer = json.dumps(content).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer

            def log_message(self, *arguments) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer((processes.HOST, 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def variables(self) -> dict[str, str]:
        """What the platform gives the container of a run."""
        return {
            "POLYAXON_IS_MANAGED": "true",
            "POLYAXON_HOST": f"http://{processes.HOST}:{self.server.server_port}",
            "POLYAXON_RUN_INSTANCE": f"default.{project.name()}.runs.{OTHER}",
        }


@pytest.fixture
def platform():
    found = Platform()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def typed(command, environment, apart):
    """Type a stage in a folder with the digits and no run, with these variables in the shell."""

    def run(*words: str, cwd: Path = apart, **variables: str) -> subprocess.CompletedProcess:
        around = environment | {"HOME": str(apart)} | variables
        done = subprocess.run(
            [*command, *words], cwd=cwd, env=around, capture_output=True, text=True, timeout=240, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


def test_in_a_workspace_on_the_cluster_training_makes_a_run_of_its_own(typed, platform, apart):
    done = typed(*SHORT, **platform.variables())
    assert done.returncode == 0, done.stderr
    (run,) = runs.recorded()
    assert run.status == "succeeded" and run.uuid != OTHER and run.model.is_file()
    assert run.uuid in done.stdout
    assert platform.asked == []


def test_no_server_no_op_and_others_of_polyaxons_variables_change_nothing(typed, apart):
    gone = {
        "POLYAXON_IS_MANAGED": "true",
        "POLYAXON_HOST": f"http://{processes.HOST}:{processes.free_port()}",
        "POLYAXON_RUN_INSTANCE": f"default.{project.name()}.runs.{OTHER}",
        "POLYAXON_NO_OP": "true",
        "POLYAXON_IS_OFFLINE": "false",
        "POLYAXON_OFFLINE_ROOT": str(apart / "elsewhere"),
    }
    done = typed(*SHORT, **gone)
    assert done.returncode == 0, done.stderr
    (run,) = runs.recorded()
    assert run.status == "succeeded" and run.folder == apart / "outputs/runs" / run.uuid
    assert not (apart / "elsewhere").exists()
    assert typed("best", "--id", **gone).stdout.strip() == run.uuid


def test_ctrl_c_in_a_workspace_stops_the_training_and_not_the_workspace(start, command, environment, platform, apart):
    around = environment | {"HOME": str(apart)} | platform.variables()
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = start([*command, "train", "--epochs", "50"], cwd=apart, env=around, **piped)
    assert any(line.startswith("epoch ") for line in process.stdout)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    (run,) = runs.recorded()
    assert run.status == "stopped"
    assert f"make train RESUME={run.uuid}" in errors
    assert platform.asked == []


def test_a_job_whose_file_says_that_it_is_the_run_records_on_the_platform(typed, platform, apart):
    """As train.yml does, with MLOPS_RUN; the uuid is written with hyphens in one of the two places."""
    hyphened = f"{OTHER[:8]}-{OTHER[8:12]}-{OTHER[12:16]}-{OTHER[16:20]}-{OTHER[20:]}"
    done = typed(*SHORT, **platform.variables(), MLOPS_RUN=hyphened, POLYAXON_CONTEXT_ROOT=str(apart / "context"))
    assert done.returncode == 0, done.stderr
    assert f"run {OTHER}" in done.stdout
    of_the_run = [request for request in platform.asked if f"/runs/{OTHER}" in request]
    assert of_the_run and len(of_the_run) == len(platform.asked)
    assert any(request.startswith("PATCH ") for request in of_the_run)
    assert not (apart / "outputs").exists()
    (model,) = (apart / "context").rglob("model.pt")
    assert OTHER in model.parts


def test_a_run_that_the_runner_names_is_recorded_here_under_its_name(typed, platform, apart):
    """The runner on a laptop sets MLOPS_RUN, and no platform manages its processes."""
    done = typed(
        *SHORT, MLOPS_RUN=OTHER, MLOPS_RUN_NAME="train-03", POLYAXON_HOST=platform.variables()["POLYAXON_HOST"]
    )
    assert done.returncode == 0, done.stderr
    (run,) = runs.recorded()
    assert (run.uuid, run.name, run.status) == (OTHER, "train-03", "succeeded")
    assert platform.asked == []


def test_the_rank_of_a_launcher_in_the_shell_does_not_make_training_vanish(typed, apart):
    launcher = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    done = typed(*SHORT, **launcher)
    assert done.returncode == 0, done.stderr
    (run,) = runs.recorded()
    assert run.status == "succeeded" and run.uuid in done.stdout


@pytest.mark.parametrize("given", [{}, {"RANK": "0", "WORLD_SIZE": "2"}])
def test_a_distributed_job_without_its_variables_is_a_sentence(typed, apart, given):
    done = typed(*SHORT, "--distributed", **given)
    assert done.returncode == 1
    assert "--distributed needs MASTER_ADDR, MASTER_PORT" in done.stderr
    assert ("WORLD_SIZE" in done.stderr) == (not given)
    assert not (apart / "outputs").exists()


# --- Serving -------------------------------------------------------------------------------------------------------


@contextmanager
def spoiled_shell(monkeypatch, bundle: Path, tmp_path: Path):
    """Variables of Seldon, gunicorn and Python that would change what is served, and where; each of them is read."""
    other = Path(shutil.copytree(bundle, tmp_path / "other"))
    metadata = json.loads((other / "metadata.json").read_text(encoding="utf-8"))
    metadata["run"]["uuid"] = "0" * 32
    (other / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    parameters = [{"name": "surprise", "value": "1", "type": "INT"}]
    spoiled = {
        "MODEL_DIR": str(other),
        "MODEL_NAME": "nothing.Here",
        "MODEL_METADATA": "{name: of another}",
        "MODEL_THREADS": "many",
        "SERVICE_TYPE": "ROUTER",
        "SELDON_DEBUG": "true",
        "SELDON_LOG_LEVEL": "NONSENSE",
        "PREDICTIVE_UNIT_PARAMETERS": json.dumps(parameters),
        "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": "1",
        "PREDICTIVE_UNIT_METRICS_ENDPOINT": "/elsewhere",
        "GUNICORN_WORKERS": "none",
        "GUNICORN_CMD_ARGS": "--bind=127.0.0.1:1",
        "GRPC_WORKERS": "none",
        "FLASK_SINGLE_THREADED": "x",
        "TRACING": "x",
        "MLOPS_HOST": "203.0.113.1",
        "PYTHONPATH": str(other),
    }
    with monkeypatch.context() as patch:
        for name, value in spoiled.items():
            patch.setenv(name, value)
        yield


def test_variables_of_the_shell_decide_nothing_of_what_is_served(
    bundle, serving_python, in_workplace, monkeypatch, tmp_path, data_file
):
    with (
        (tmp_path / "log").open("wb") as log,
        spoiled_shell(monkeypatch, bundle, tmp_path),
        local_server.server(bundle, log=log.fileno(), publish=False) as (url, _),
    ):
        (answer,) = client.ask(url, client.test_examples([3], data_file), datasets.load(data_file).schema)
    assert answer.run == read_metadata(bundle)["run"]["uuid"]


# --- Code of another repository ------------------------------------------------------------------------------------


def test_another_repositorys_mlops_is_named_and_nothing_is_done(typed, apart, team, tmp_path):
    source = team.package.parent
    other = tmp_path / "other repository/src"
    shutil.copytree(source / "mlops", other / "mlops")
    for words in (("train",), ("best",), ("pipeline",)):
        done = typed(*words, PYTHONPATH=f"{other}:{source}")
        assert done.returncode == 1
        assert str(other / "mlops") in done.stderr
        assert f"export PYTHONPATH={source}" in done.stderr
    assert not (apart / "outputs").exists()
