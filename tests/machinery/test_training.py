"""train: it learns, the same seed gives the same model, and a stopped or killed run goes on to the same end."""

import json
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from traceml.events import V1Events

from {{ cookiecutter.src_package_name }} import runs, training
from {{ cookiecutter.src_package_name }}.errors import UserError


def weights(run):
    return torch.load(run.model, weights_only=True)


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_the_default_recipe_reaches_094_on_the_test_digits(in_workplace, trained):
    run = runs.find(trained)
    assert run.outputs["test_accuracy"] >= 0.94
    assert run.status == "succeeded"


METRICS = ("loss", "val_loss", "accuracy", "lr")


def events(run, metric) -> Path:
    return run.folder / f"events/metric/{metric}.plx"


def steps(run, metric) -> list[int]:
    """The steps of a metric's events, as Polyaxon reads them."""
    return sorted(V1Events.read(kind="metric", name=metric, data=str(events(run, metric))).df["step"])


def test_metrics_are_recorded_every_epoch(in_workplace, trained):
    for metric in METRICS:
        assert steps(runs.find(trained), metric) == [1, 2, 3, 4, 5]


def test_a_run_says_what_it_came_from(in_workplace, trained, data_file):
    from {{ cookiecutter.src_package_name }} import data

    inputs = runs.find(trained).inputs
    assert inputs["data_digest"] == data.load(data_file).origin["digest"]
    assert inputs.keys() >= {"code_digest", "commit", "dirty", "recipe", "lr", "batch_size", "seed"}


def test_the_articles_recipe_learns(apart, data_file):
    uuid = training.train(training.Hyperparameters.of("article", lr=0.05), data_file)
    assert runs.find(uuid).outputs["accuracy"] > 0.8


def test_the_same_seed_gives_the_same_model_and_another_does_not(apart, data_file):
    short = {"epochs": 1, "train_steps": 10}
    one, two, other = (
        weights(runs.find(training.train(training.Hyperparameters.of("default", seed=seed, **short), data_file)))
        for seed in (7, 7, 8)
    )
    assert same(one, two)
    assert not same(one, other)


def test_train_steps_bounds_the_whole_run(apart, data_file):
    assert training.steps_in_all(training.Hyperparameters.of("default"), 3500) == 275
    assert training.steps_in_all(training.Hyperparameters.of("default", train_steps=60), 3500) == 60
    uuid = training.train(training.Hyperparameters.of("default", train_steps=60), data_file)
    checkpoint = torch.load(runs.find(uuid).checkpoint, weights_only=True)
    assert checkpoint["step"] == 60
    assert checkpoint["epoch"] == 2


@pytest.mark.parametrize("steps", range(1, 12))
def test_a_run_may_be_as_short_as_one_step(steps):
    hyperparameters = training.Hyperparameters.of("default", train_steps=steps)
    progress = training.begin(hyperparameters, 3500, torch.device("cpu"))
    digits = torch.zeros(3500, 1, 28, 28), torch.zeros(3500, dtype=torch.int64)
    training.run_epoch(progress, *digits, hyperparameters.batch_size, steps, on_step=lambda: None)
    assert progress.step == steps


def test_options_that_do_not_go_together_are_refused(stage, data_file):
    assert "--momentum belongs to SGD" in stage("train", "--momentum", "0.9", fails=True).stderr
    assert "leave out --lr" in stage("train", "--resume", "x", "--lr", "0.1", fails=True).stderr
    told = stage("train", "--resume", "x", "--recipe", "article", "--name", "other", fails=True).stderr
    assert "leave out --recipe, --name" in told


EPOCHS = "4"


@pytest.fixture(scope="module")
def uninterrupted(stage, data_file, tmp_path_factory):
    """The weights after four epochs in one go."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    stage("train", "--data", data_file, "--epochs", EPOCHS, cwd=folder)
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
        _, errors = process.communicate(timeout=60)
        (folder,) = (apart / "outputs/runs").iterdir()
        return process.returncode, errors, folder.name

    return run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
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
    for metric, content in zip(METRICS, ("", header, header + row, header + row[:10]), strict=True):
        events(run, metric).parent.mkdir(parents=True, exist_ok=True)
        events(run, metric).write_text(content)


def test_a_killed_run_is_no_candidate_and_can_be_resumed(stopped, stage, apart, uninterrupted):
    code, _, uuid = stopped(signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert runs.find(uuid).status == "running"
    with pytest.raises(UserError, match="no run that succeeded"):
        runs.best()
    cut_events_short(runs.find(uuid))
    stage("train", "--resume", uuid, cwd=apart)
    run = runs.find(uuid)
    assert same(weights(run), uninterrupted)
    for metric in METRICS:
        assert steps(run, metric) == list(range(1, int(EPOCHS) + 1))


def test_a_run_that_is_being_trained_is_not_resumed_beside_it(in_workplace, stage, trained):
    folder = runs.find(trained).folder
    with runs.alone(folder), pytest.raises(UserError, match="being trained now"), runs.alone(folder):
        pass
    with runs.alone(folder):  # let go of
        pass


def test_a_finished_run_is_not_resumed(stage, trained):
    assert "has finished" in stage("train", "--resume", trained, fails=True).stderr


def test_a_run_is_not_resumed_on_other_data(in_workplace, trained, tmp_path, data_file):
    record = runs.find(trained).folder / runs.RECORD
    before = record.read_text(encoding="utf-8")
    content = json.loads(before)
    content["status"] = "stopped"
    content["inputs"]["data_digest"] = "0" * 64
    record.write_text(json.dumps(content), encoding="utf-8")
    try:
        with pytest.raises(UserError, match="data_digest changed since"):
            training.resume(trained, data_file)
    finally:
        record.write_text(before, encoding="utf-8")
