"""What the platform adds to training: several processes, TensorBoard's event files, a bucket for the model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlops import processes, runs, trainer
from mlops.artifacts import Bucket
from mlops.errors import UserError

# Two epochs without dropout, which is drawn for each process's share and so differs from one process's.
CURVE = """
import sys, torch
from pathlib import Path
from digit_reader.__main__ import TEAM
from mlops import dataset, distributed, trainer
torch.nn.Dropout.forward = torch.nn.Dropout2d.forward = lambda self, x: x
data, code = dataset.load(Path(sys.argv[1])), TEAM.code()
hyperparameters = code.training.hyperparameters(recipe="article", batch_size=90, lr=0.05, epochs=2)
with distributed.group(True):
    job = trainer.Job(code, data, hyperparameters, record=None)
    code.training.train(job)
    print(*(epoch["loss"] for epoch in job.history))
distributed.exit_now()
"""


def together(command: list, environment: dict, count: int, cwd: Path) -> list[str]:
    """Run a command as so many processes that train together; gives what each wrote."""
    shared = environment | {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(processes.free_port()),
        "OMP_NUM_THREADS": "1",
    }
    started = [
        subprocess.Popen(
            command,
            cwd=cwd,
            env=shared | {"WORLD_SIZE": str(count), "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    try:
        answers = [process.communicate(timeout=240) for process in started]
    finally:
        for process in started:
            process.kill()
    assert all(process.returncode == 0 for process in started), answers
    return [answer[0] for answer in answers]


def test_several_processes_have_the_loss_curve_of_one(environment, data_file, tmp_path):
    command = [sys.executable, "-c", CURVE, data_file]
    (alone,) = together(command, environment, 1, tmp_path)
    assert len(alone.split()) == 2
    # 3,500 digits in batches of 90: the last batch has 80, and three processes have unequal shares of it
    for answer in together(command, environment, 3, tmp_path):
        assert [float(loss) for loss in answer.split()] == pytest.approx([float(x) for x in alone.split()], rel=1e-3)


def test_the_first_of_several_processes_records_the_run(environment, command, data_file, tmp_path):
    train = [*command, "train", "--distributed", "--data", data_file, "--epochs", "1"]
    first, second = together(train, environment | {"MLOPS_OUTPUTS": str(tmp_path)}, 2, tmp_path)
    assert "epoch 1/1" in first and not second
    (record,) = tmp_path.glob("runs/*/run.plx.json")
    content = json.loads(record.read_text(encoding="utf-8"))
    assert content["status"] == "succeeded" and content["outputs"]["score"] > 0.8


def test_tensorboard_shows_what_polyaxon_recorded(in_workplace, trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = runs.find(trained)
    events = EventAccumulator(str(run.folder / "outputs/tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {"loss", "val_loss", "score", "accuracy", "lr"}
    score = events.Scalars("score")
    assert [event.step for event in score] == [1, 2, 3, 4, 5]
    assert score[-1].value == pytest.approx(run.outputs["score"])


@pytest.fixture
def storage(monkeypatch):
    """A server that speaks the API of Google Cloud Storage, with the bucket `models`; gives its address."""
    from gcp_storage_emulator.server import create_server

    port = processes.free_port()
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket="models")
    server.start()
    address = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
    yield address
    server.stop()


def test_a_trained_model_is_copied_to_the_bucket(storage, environment, command, data_file, tmp_path):
    from google.cloud.storage import Client

    where = {"MLOPS_OUTPUTS": str(tmp_path), "STORAGE_EMULATOR_HOST": storage}
    train = [*command, "train", "--data", data_file, "--train-steps", "3", "--bucket", "models"]
    done = subprocess.run(train, env=environment | where, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    (record,) = tmp_path.glob("runs/*/run.plx.json")
    name = f"runs/{record.parent.name}/model.pt"
    assert f"gs://models/{name}" in done.stdout
    assert json.loads(record.read_text(encoding="utf-8"))["outputs"]["model_address"] == f"gs://models/{name}"
    copied = Client().bucket("models").blob(name).download_as_bytes()
    assert copied == (record.parent / "outputs/model.pt").read_bytes()


def test_a_copy_that_failed_is_made_by_going_on(storage, environment, command, data_file, tmp_path):
    def train(*words: str) -> subprocess.CompletedProcess:
        where = {"MLOPS_OUTPUTS": str(tmp_path), "STORAGE_EMULATOR_HOST": storage}
        line = [*command, "train", "--data", data_file, *words]
        return subprocess.run(line, env=environment | where, capture_output=True, text=True, timeout=240, check=False)

    assert "there is no bucket nothing" in train("--train-steps", "3", "--bucket", "nothing").stderr
    (run,) = (tmp_path / "runs").iterdir()
    done = train("--resume", run.name, "--bucket", "models")
    assert done.returncode == 0, done.stderr
    assert f"copied to gs://models/runs/{run.name}/model.pt" in done.stdout


def test_a_bucket_that_is_not_there_is_named(storage, tmp_path):
    (tmp_path / "model.pt").write_bytes(b"model")
    with pytest.raises(UserError, match="there is no bucket nothing"):
        Bucket("nothing").upload(tmp_path / "model.pt", "model.pt")


def test_where_googles_library_is_missing_the_command_that_installs_it_is_named(team, data_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.cloud", None)
    monkeypatch.delitem(sys.modules, "mlops.artifacts")
    code = team.code()
    with pytest.raises(UserError, match=rf"install\.sh {sys.executable} bucket"):
        trainer.train(code, code.training.hyperparameters(), data_file, bucket="models")


@pytest.mark.parametrize("key", [None, "missing.json", "broken.json"])
def test_without_credentials_training_does_not_begin(environment, command, data_file, tmp_path, key):
    (tmp_path / "broken.json").write_text("{}")
    bare = {name: value for name, value in environment.items() if not name.startswith(("GOOGLE_", "STORAGE_"))}
    bare |= {"HOME": str(tmp_path), "NO_GCE_CHECK": "true", "MLOPS_OUTPUTS": str(tmp_path)}
    if key:
        bare["GOOGLE_APPLICATION_CREDENTIALS"] = str(tmp_path / key)
    train = [*command, "train", "--data", data_file, "--bucket", "models"]
    done = subprocess.run(train, env=bare, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "No Google Cloud credentials for gs://models" in done.stderr
    assert "GOOGLE_APPLICATION_CREDENTIALS" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists() or not os.listdir(tmp_path / "runs")
