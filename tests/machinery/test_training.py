"""train: it learns, the same seed gives the same model, and a stopped or killed run goes on to the same end."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from mlops import dataset as datasets
from mlops import runs, tracking, trainer
from mlops import schema as schemas
from mlops.errors import UserError
from traceml.events import V1Events


@pytest.fixture(scope="module")
def code(team):
    return team.code()


@pytest.fixture
def train(code, data_file):
    """Train as `train` does, in this process; gives the run."""

    def run(**given) -> runs.Run:
        return runs.find(trainer.train(code, code.training.hyperparameters(**given), data_file))

    return run


def weights(run):
    return torch.load(run.model, weights_only=True)


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_the_default_recipe_reaches_094_on_the_test_digits(in_workplace, trained):
    run = runs.find(trained)
    assert run.outputs["test_score"] >= 0.94
    assert run.status == "succeeded"


METRICS = ("loss", "val_loss", "score", "accuracy", "lr")


def events(run, metric) -> Path:
    return run.folder / f"events/metric/{metric}.plx"


def steps(run, metric) -> list[int]:
    """The steps of a metric's events, as Polyaxon reads them."""
    return sorted(V1Events.read(kind="metric", name=metric, data=str(events(run, metric))).df["step"])


def test_metrics_are_recorded_every_epoch(in_workplace, trained):
    for metric in METRICS:
        assert steps(runs.find(trained), metric) == [1, 2, 3, 4, 5]


def test_the_score_is_recorded_beside_the_metrics_own_name(in_workplace, trained):
    outputs = runs.find(trained).outputs
    assert outputs["score"] == outputs["accuracy"]
    assert outputs["test_score"] == outputs["test_accuracy"]


def test_a_run_says_what_it_came_from(in_workplace, trained, data_file):
    inputs = runs.find(trained).inputs
    assert inputs["data_digest"] == datasets.load(data_file).origin["digest"]
    assert inputs.keys() >= {"code_digest", "mlops_digest", "commit", "dirty", "recipe", "lr", "batch_size", "seed"}
    assert len(inputs["commit"]) == 40


def test_the_articles_recipe_learns(apart, train):
    assert train(recipe="article", lr=0.05).outputs["score"] > 0.8


def test_train_steps_bounds_the_whole_run(apart, train, code, data_file):
    job = trainer.Job(code, datasets.load(data_file), code.training.hyperparameters(), record=None)
    assert job.plan(epochs=5, batch_size=64) == 275
    assert job.plan(epochs=5, batch_size=64, at_most=60) == 60
    checkpoint = torch.load(train(train_steps=60).checkpoint, weights_only=True)
    assert checkpoint["step"] == 60
    assert checkpoint["epoch"] == 2


def test_what_the_network_knows_of_its_inputs_is_saved_with_it(in_workplace, trained, data_file):
    inputs = datasets.load(data_file).splits["train"].inputs
    saved = weights(runs.find(trained))
    assert saved["normalize.mean"].item() == pytest.approx(inputs.mean(), rel=1e-4)
    assert saved["normalize.deviation"].item() == pytest.approx(inputs.std(), rel=1e-4)


def test_options_that_do_not_go_together_are_refused(stage, data_file):
    assert "--momentum belongs to SGD" in stage("train", "--momentum", "0.9", fails=True).stderr
    refused = stage(
        "train", "--resume", "x", "--lr", "0.1", "--recipe", "article", "--name", "other", fails=True
    ).stderr
    assert "leave out " in refused
    assert {"--lr", "--recipe", "--name"} <= set(refused.strip().rstrip(".").replace(",", "").split())


def test_data_of_another_schema_is_not_trained_on(apart, code, data_file):
    text = (data_file.parents[2] / "schema.toml").read_text(encoding="utf-8")
    (apart / "schema.toml").write_text(text.replace("high = 255", "high = 300"), encoding="utf-8")
    with pytest.raises(UserError) as refusal:
        trainer.train(code, code.training.hyperparameters())
    assert f"schema.toml was changed since {datasets.FILE} was made" in str(refusal.value)
    assert "inputs.high: 255, not 300" in str(refusal.value)
    assert "make data" in str(refusal.value)
    assert not (apart / "outputs").exists()


EPOCHS = "4"


@pytest.fixture(scope="module")
def uninterrupted(stage, data_file, tmp_path_factory):
    """The weights after four epochs in one go."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    stage("train", "--data", str(data_file), "--epochs", EPOCHS, cwd=folder)
    (run,) = (folder / "outputs/runs").iterdir()
    return torch.load(run / "outputs/model.pt", weights_only=True)


@pytest.fixture
def stopped(start, command, environment, apart):
    """Start to train four epochs, and send a signal when the first has ended: exit code, errors and the run's uuid."""

    def run(number: signal.Signals) -> tuple[int, str, str]:
        piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = start([*command, "train", "--epochs", EPOCHS], cwd=apart, env=environment, **piped)
        for line in process.stdout:
            if line.startswith("epoch 1/"):
                process.send_signal(number)
                break
        _, errors = process.communicate(timeout=300)
        (folder,) = (apart / "outputs/runs").iterdir()
        return process.returncode, errors, folder.name

    return run


SIGNALS = {"SIGINT": signal.SIGINT} | ({"SIGTERM": signal.SIGTERM} if "EXHAUSTIVE" in os.environ else {})


@pytest.mark.parametrize("number", SIGNALS.values(), ids=SIGNALS)
def test_a_stopped_run_says_so_and_goes_on_to_the_same_end(number, stopped, stage, apart, uninterrupted):
    code, errors, uuid = stopped(number)
    assert code == 128 + number
    assert f"make train RESUME={uuid}" in errors
    run = runs.find(uuid)
    assert run.status == "stopped"
    assert not run.model.exists()
    stage("train", "--resume", uuid, cwd=apart)
    run = runs.find(uuid)
    assert run.status == "succeeded"
    assert same(weights(run), uninterrupted)
    for metric in METRICS:
        assert steps(run, metric) == list(range(1, int(EPOCHS) + 1))


def cut_events_short(run) -> None:
    """What a kill at another moment would have left: a file without its header, others without or with half a row."""
    header, row = "step|timestamp|metric", "\n1|2026-11-24 12:37:50.127621+00:00|0.5"
    for metric, content in zip(METRICS, ("", header, header + row, header + row[:10], header + row), strict=True):
        events(run, metric).parent.mkdir(parents=True, exist_ok=True)
        events(run, metric).write_text(content)


def test_a_killed_run_is_no_candidate_and_can_be_resumed(stopped, stage, apart, uninterrupted, team, data_file):
    code, _, uuid = stopped(signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert runs.find(uuid).status == "running"
    with pytest.raises(UserError, match="no run that succeeded"):
        runs.rank(team.lineage(datasets.read_origin(data_file)))
    cut_events_short(runs.find(uuid))
    stage("train", "--resume", uuid, cwd=apart)
    run = runs.find(uuid)
    assert same(weights(run), uninterrupted)
    for metric in METRICS:
        assert steps(run, metric) == list(range(1, int(EPOCHS) + 1))


def test_a_run_that_is_being_trained_is_not_resumed_beside_it(in_workplace, trained):
    folder = runs.find(trained).folder
    lock = tracking.exclusive_lock
    with lock(folder), pytest.raises(UserError, match="being trained now"), lock(folder):
        pass
    with lock(folder):  # released
        pass


def test_a_finished_run_is_not_resumed(in_workplace, code, trained, data_file):
    with pytest.raises(UserError, match="has finished"):
        trainer.train(code, data_file=data_file, resume=trained)


@pytest.mark.parametrize("changed", ["data_digest", "code_digest"])
def test_a_run_is_not_resumed_on_other_data_or_with_other_code(apart, workplace, code, trained, data_file, changed):
    shutil.copytree(workplace / "outputs/runs" / trained, apart / "outputs/runs" / trained)
    record = apart / "outputs/runs" / trained / runs.RECORD
    content = json.loads(record.read_text(encoding="utf-8"))
    content["status"] = "stopped"
    content["inputs"][changed] = "0" * 64
    record.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match=f"{changed} changed since"):
        trainer.train(code, data_file=data_file, resume=trained)


def test_a_resumed_run_has_its_own_hyperparameters(apart, train, code, data_file):
    run = train(recipe="article", lr=0.03, epochs=1, train_steps=5)
    record = json.loads((run.folder / runs.RECORD).read_text(encoding="utf-8"))
    record["status"] = "stopped"
    (run.folder / runs.RECORD).write_text(json.dumps(record), encoding="utf-8")
    trainer.train(code, data_file=data_file, resume=run.uuid[:12])
    again = runs.find(run.uuid)
    assert again.status == "succeeded"
    assert (again.inputs["recipe"], again.inputs["lr"], again.inputs["momentum"]) == ("article", 0.03, 0.5)
    assert same(weights(again), weights(run))


def test_the_loop_learns_pictures_of_another_schema(code):
    """Other sizes, channels and classes than the example's: nothing else is edited."""
    draw = torch.Generator().manual_seed(1)
    targets = torch.arange(90) % 3
    inputs = torch.randint(0, 80, (90, 20, 24, 3), dtype=torch.uint8, generator=draw)
    for channel in range(3):
        inputs[targets == channel, ..., channel] += 150
    schema = schemas.Schema(schemas.Images(20, 24, 3), schemas.Classes(("blue", "green", "red")))
    examples = datasets.Examples(inputs.numpy(), targets.numpy())
    data = datasets.Dataset(dict.fromkeys(datasets.SPLITS, examples), schema, {})
    job = trainer.Job(code, data, code.training.hyperparameters(epochs=15, batch_size=10), record=None)
    code.training.train(job)
    assert job.history[-1]["score"] > 0.9
