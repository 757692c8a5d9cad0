"""The runner runs Polyaxonfiles on this machine as the platform would."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from conftest import ROOT
from mlops import project
from mlops.platform import jobs, operations
from mlops.platform import runner as runners

# A job that records a score as training does, and takes no time.
JOB = """
import json, os, sys, time
lr, epochs = float(sys.argv[1]), int(sys.argv[2])
began = time.time()
time.sleep(float(os.environ.get("JOB_SECONDS", "0")))
if lr > 0.9:
    sys.exit("the learning rate is too high")
uuid = os.environ["MLOPS_RUN"]
folder = os.path.join(os.environ["MLOPS_OUTPUTS"], "runs", uuid)
os.makedirs(folder)
outputs = {"score": lr, "epochs": epochs, "began": began, "ended": time.time(), "name": os.environ["MLOPS_RUN_NAME"]}
json.dump({"uuid": uuid, "outputs": outputs}, open(os.path.join(folder, "run.plx.json"), "w"))
"""
COMPONENT = {
    "version": 1.1,
    "kind": "component",
    "inputs": [
        {"name": "lr", "type": "float", "value": 0.5},
        {"name": "epochs", "type": "int", "value": 1},
    ],
    "outputs": [{"name": "score", "type": "float", "isOptional": True}],
    "run": {
        "kind": "job",
        "container": {
            "image": "none:1",
            "command": ["python", "-c", JOB],
            "args": ["{" + "{ lr }}", "{" + "{ epochs }}"],
        },
    },
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a Polyaxonfile, given as a dictionary or by the name of one of the repository's, and record in tmp_path."""
    monkeypatch.setattr(jobs, "OUTPUTS", tmp_path / "outputs")

    def run(file: dict | str, *arguments: str):
        if isinstance(file, dict):
            (tmp_path / "component.yml").write_text(yaml.safe_dump(COMPONENT))
            path = tmp_path / "file.yml"
            path.write_text(yaml.safe_dump(file))
            file = str(path)
        return CliRunner().invoke(runners.main, [file, *arguments])

    return run


def operation(**matrix) -> dict:
    return {"version": 1.1, "kind": "operation", "pathRef": "./component.yml", "matrix": matrix}


def recorded(tmp_path: Path) -> list[dict]:
    return [json.loads(path.read_text())["outputs"] for path in tmp_path.glob("outputs/runs/*/run.plx.json")]


@pytest.mark.parametrize(
    "name", ["data-prep", "train", "hparam-group", "hparam-hyperband", "pipeline", "train-distributed"]
)
def test_a_dry_run_prints_commands_of_this_machine_and_runs_nothing(run, tmp_path, name):
    answer = run(name, "--dry-run")
    assert answer.exit_code == 0, answer.output
    assert f"{sys.executable} -m " in answer.output
    assert "/polyaxon-v1-data" not in answer.output and "''" not in answer.output
    assert not (tmp_path / "outputs").exists()


def test_the_group_is_the_articles_search(run):
    lines = [line.split() for line in run("hparam-group", "--dry-run").output.splitlines() if " -m " in line]
    arguments = [dict(word[2:].split("=", 1) for word in line if word.startswith("--")) for line in lines]
    assert len(arguments) == 10
    for each in arguments:
        assert each["recipe"] == "article" and each["batch-size"] == "128" and each["test-batch-size"] == "1000"
        assert min(abs(float(each["lr"]) - lr) for lr in (0.001, 0.02575, 0.0505, 0.07525, 0.1)) < 1e-9
        assert 0.5 <= float(each["momentum"]) <= 0.6


def test_a_failing_run_is_reported_with_its_parameters_and_log_and_the_others_go_on(run, tmp_path):
    answer = run(operation(kind="grid", concurrency=2, params={"lr": {"kind": "choice", "value": [0.1, 0.95, 0.3]}}))
    assert answer.exit_code == 1
    assert "failed" in answer.output and "lr=0.95" in answer.output
    assert "the learning rate is too high" in answer.output
    assert sorted(each["score"] for each in recorded(tmp_path)) == [0.1, 0.3]
    table = [line.split() for line in answer.output.splitlines() if line.startswith("file-")]
    assert [row[1] for row in table] == ["0.3", "0.1", "-"]  # the best first, the failed one last


def test_early_stopping_stops_the_rest(run, tmp_path):
    stop = {"kind": "metric_early_stopping", "metric": "score", "value": 0.8, "optimization": "maximize"}
    lrs = [0.1, 0.85, 0.2, 0.3, 0.4]
    answer = run(
        operation(kind="grid", concurrency=1, earlyStopping=[stop], params={"lr": {"kind": "choice", "value": lrs}})
    )
    assert answer.exit_code == 0
    assert "early stopping: file-02 has score 0.85" in answer.output
    assert len(recorded(tmp_path)) == 2
    assert answer.output.count("not run") == 3


def test_hyperband_gives_the_best_more_of_the_resource(run, tmp_path):
    answer = run(
        operation(
            kind="hyperband",
            maxIterations=4,
            eta=2,
            resource={"name": "epochs", "type": "int"},
            metric={"name": "score", "optimization": "maximize"},
            concurrency=4,
            seed=1,
            params={"lr": {"kind": "uniform", "value": [0.0, 0.8]}},
        )
    )
    assert answer.exit_code == 0, answer.output
    first = [line for line in answer.output.splitlines() if line.startswith("bracket 1")]
    assert [line.split(": ")[1] for line in first] == ["4 runs, epochs=1", "2 runs, epochs=2", "1 runs, epochs=4"]
    runs = sorted(recorded(tmp_path), key=lambda each: each["name"])
    rungs = [{each["score"] for each in runs[start:stop]} for start, stop in ((0, 4), (4, 6), (6, 7))]
    assert rungs[1] == set(sorted(rungs[0])[-2:]) and rungs[2] == {max(rungs[0])}


def test_no_more_runs_at_a_time_than_concurrency_and_cores(run, tmp_path, monkeypatch):
    monkeypatch.setenv("JOB_SECONDS", "1")
    monkeypatch.setattr(operations, "CORES", 2)
    run(operation(kind="grid", concurrency=3, params={"lr": {"kind": "linspace", "value": "0.1:0.5:5"}}))
    spans = [(each["began"], each["ended"]) for each in recorded(tmp_path)]
    overlaps = [sum(began <= moment < ended for began, ended in spans) for moment, _ in spans]
    assert len(spans) == 5 and max(overlaps) == 2


def test_a_graph_runs_in_its_order_and_leaves_out_what_is_behind_a_failure(run, tmp_path):
    def part(name: str, lr: float, *behind: str) -> dict:
        return {
            "name": name,
            "pathRef": "./component.yml",
            "params": {"lr": {"value": lr}},
            "dependencies": list(behind),
        }

    parts = [part("third", 0.3, "second"), part("first", 0.1), part("second", 0.95, "first"), part("other", 0.2)]
    answer = run({"version": 1.1, "kind": "component", "run": {"kind": "dag", "operations": parts}})
    assert answer.exit_code == 1
    assert "third: not run, because second failed" in answer.output
    assert {each["name"] for each in recorded(tmp_path)} == {"first", "other"}


def test_a_distributed_job_is_a_process_for_each_replica(run, tmp_path, capfd):
    code = "import os; print('rank', os.environ['RANK'], 'of', os.environ['WORLD_SIZE'], os.environ['MASTER_PORT'])"
    replica = {"container": {"image": "none:1", "command": ["python", "-c", code]}}
    job = {"kind": "pytorchjob", "master": {"replicas": 1, **replica}, "worker": {"replicas": 2, **replica}}
    answer = run({"version": 1.1, "kind": "component", "run": job})
    assert answer.exit_code == 0
    (log,) = tmp_path.glob("outputs/logs/*")
    lines = [
        line.split() for line in (capfd.readouterr().out + log.read_text()).splitlines() if line.startswith("rank")
    ]
    assert sorted(line[1] for line in lines) == ["0", "1", "2"]
    assert {line[3] for line in lines} == {"3"} and len({line[4] for line in lines}) == 1


def test_variables_of_the_shell_that_belong_to_another_run_do_not_reach_a_run(run, monkeypatch, capfd):
    foreign = ["RANK", "WORLD_SIZE", "MASTER_ADDR", "POLYAXON_IS_MANAGED", "POLYAXON_HOST", "MLOPS_RUNS_PROJECT"]
    for name in [*foreign, "MLOPS_RUN", "POLYAXON_RUN_INSTANCE"]:
        monkeypatch.setenv(name, "of-another")
    code = "import os; print(sorted(name for name, value in os.environ.items() if value == 'of-another'))"
    container = {"image": "none:1", "command": ["python", "-c", code]}
    assert run({"version": 1.1, "kind": "component", "run": {"kind": "job", "container": container}}).exit_code == 0
    assert capfd.readouterr().out == "[]\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_what_was_started(tmp_path, environment, number, start):
    # The job starts a process of its own: that one has to go too.
    script = f"sleep 60 & echo $! > {tmp_path / 'pid'}; wait"
    container = {"image": "none:1", "command": ["sh", "-c", script]}
    path = tmp_path / "long.yml"
    path.write_text(
        yaml.safe_dump({"version": 1.1, "kind": "component", "run": {"kind": "job", "container": container}})
    )
    environment = environment | {"MLOPS_OUTPUTS": str(tmp_path / "outputs")}
    command = [sys.executable, "-m", "mlops.platform.runner", path]
    process = start(command, env=environment, stderr=subprocess.PIPE)
    wait_for(lambda: (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text())
    pid = int((tmp_path / "pid").read_text())
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert errors.splitlines()[1:] == ["Stopped."], errors  # after the line that says what it does
    wait_for(lambda: not is_alive(pid))


def wait_for(done, seconds: float = 120) -> None:
    limit = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.is_file() and stat.read_text().split()[2] != "Z"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "There are: batch, data-prep"),
        (["train", "-P", "recipe=nothing"], "default"),
        (["train", "-P", "epochs=many"], "epochs"),
        (["train", "-P", "nothing=1"], "undeclared param `nothing`"),
        (["train", "-P", "recipe=[default, article]"], "recipe"),
        (["train", "-P", "epochs=[1, 2]"], "epochs"),
    ],
)
def test_a_mistake_is_answered_with_one_sentence(run, arguments, said):
    check_refusal(run(*arguments), said)


def check_refusal(answer, said: str) -> None:
    """It ended with one line that says why, and with no traceback."""
    assert answer.exit_code == 1 and isinstance(answer.exception, SystemExit), answer.output
    assert said in answer.output and len(answer.output.splitlines()) == 1, answer.output


ONE = {"lr": {"kind": "choice", "value": [0.1]}}
METRIC = {"name": "score", "optimization": "maximize"}
UTILITY = {"acquisitionFunction": "ucb", "kappa": 1.2, "gaussianProcess": {"kernel": "matern"}}


SEARCHES_OF_THE_PLATFORM = {
    "bayes": {"metric": METRIC, "numInitialRuns": 2, "maxIterations": 2, "utilityFunction": UTILITY},
    "tpe": {"metric": METRIC, "numRuns": 2},
    "iterative": {"maxIterations": 2},
}


@pytest.mark.parametrize("kind", SEARCHES_OF_THE_PLATFORM)
@pytest.mark.parametrize("flags", [[], ["--dry-run"]], ids=str)
def test_a_search_that_only_the_platform_runs_is_refused_with_one_sentence(run, tmp_path, kind, flags):
    answer = run(operation(kind=kind, params=ONE, **SEARCHES_OF_THE_PLATFORM[kind]), *flags)
    check_refusal(answer, f"A matrix of the kind {kind} runs on the cluster only")
    assert not recorded(tmp_path)


def test_a_program_that_is_in_the_image_only_is_named(run, monkeypatch):
    monkeypatch.setenv("JUPYTER_TOKEN", "secret")
    if shutil.which("jupyter"):
        pytest.skip("jupyter is on this machine")
    answer = run("tensorboard-service")
    assert answer.exit_code == 1 and "jupyter does not run here" in answer.output


def test_a_secret_is_asked_for_by_name(run, monkeypatch):
    monkeypatch.delenv("JUPYTER_TOKEN", raising=False)
    answer = run("tensorboard-service")
    assert answer.exit_code == 1 and "export JUPYTER_TOKEN=" in answer.output


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    """The jobs run in a folder of the test's own, where they may write a schema: the repository stays as it was."""
    folder = tmp_path / "repository"
    folder.mkdir()
    for name in ("src", "aisg-context", "pyproject.toml", "serving-requirements.txt", "serving.env"):
        (folder / name).symlink_to(ROOT / name)
    monkeypatch.setattr(project, "ROOT", folder)
    return folder


def test_real_digits_are_prepared_and_trained_on(run, elsewhere, tmp_path):
    data = tmp_path / "dataset.safetensors"
    assert run("data-prep", "-P", f"output={data}").exit_code == 0
    assert run("train", "-P", f"data={data}", "-P", "epochs=1", "-P", "train_steps=20").exit_code == 0
    (record,) = tmp_path.glob("outputs/runs/*/run.plx.json")
    content = json.loads(record.read_text())
    assert content["uuid"] == record.parent.name and content["name"] == "train" and content["status"] == "succeeded"
    assert 0 < content["outputs"]["score"] <= 1
    assert (record.parent / "outputs/model.pt").is_file()
