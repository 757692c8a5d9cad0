"""best: the run with the best metric among those that succeeded, as a table and as an id."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from {{ cookiecutter.src_package_name }} import runs
from {{ cookiecutter.src_package_name }}.errors import UserError


@pytest.fixture
def two_runs(in_workplace, stage, trained, data_file):
    """The shared run, and one that had ten steps only."""
    names = {run.name: run.uuid for run in runs.recorded()}
    if "ten-steps" not in names:
        stage("train", "--train-steps", "10", "--name", "ten-steps")
    return trained, {run.name: run.uuid for run in runs.recorded()}["ten-steps"]


def test_the_best_is_the_highest_or_the_lowest(two_runs):
    shared, short = two_runs
    by_accuracy = [run.uuid for run in runs.ranking("accuracy", "max")]
    assert by_accuracy.index(shared) < by_accuracy.index(short)
    by_loss = [run.uuid for run in runs.ranking("loss", "min")]
    assert by_loss.index(shared) < by_loss.index(short)
    assert runs.best("accuracy", "min").outputs["accuracy"] <= runs.find(short).outputs["accuracy"]


def test_it_is_shown_as_a_table_and_as_an_id(two_runs, stage):
    table = stage("best").stdout.splitlines()
    assert table[0].split()[:3] == ["run", "accuracy", "test_accuracy"]
    assert table[-1] == f"best by accuracy: {stage('best', '--id').stdout.strip()}"


def test_an_unknown_metric_names_those_there_are(two_runs, stage):
    error = stage("best", "--metric", "f1", fails=True).stderr
    assert "'f1'" in error
    assert "accuracy, loss, " in error


def test_no_run_names_the_command_that_makes_one(stage, tmp_path):
    assert "make train" in stage("best", cwd=tmp_path, fails=True).stderr


@pytest.mark.parametrize("content", ["", '{"uuid": "', "\x00" * 100])
def test_a_record_that_a_kill_cut_short_hides_no_other_run(in_workplace, stage, trained, content):
    record = in_workplace / "outputs/runs/cut-short" / runs.RECORD
    record.parent.mkdir()
    record.write_text(content, encoding="utf-8")
    try:
        assert "cut-short" not in stage("best").stdout
        assert runs.find("cut-short").status == "damaged"
        assert "its record is damaged" in stage("train", "--resume", "cut-short", fails=True).stderr
        assert "is damaged, and only a run that succeeded" in stage("package", "--run", "cut-short", fails=True).stderr
    finally:
        record.unlink()
        record.parent.rmdir()


def test_a_run_is_found_by_the_beginning_of_its_uuid(in_workplace, trained):
    assert runs.find(trained[:8]).uuid == trained
    with pytest.raises(UserError, match="there is none"):
        runs.find("nothing")


def test_runs_are_recorded_in_the_project_that_has_the_repositorys_name(in_workplace, trained):
    record = json.loads((runs.find(trained).folder / runs.RECORD).read_text(encoding="utf-8"))
    assert record["project"] == runs.project() == "{{ cookiecutter.repo_name }}"


def test_a_package_that_was_installed_without_its_repository_knows_the_project_too(tmp_path):
    package = runs.__package__
    shutil.copytree(Path(runs.__file__).parent, tmp_path / package)
    installed = tmp_path / "some_name-0.1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.4\nName: some-name\nVersion: 0.1.0\n", encoding="utf-8")
    (installed / "top_level.txt").write_text(f"{package}\n", encoding="utf-8")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from {package} import runs; print(runs.project())"
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "some-name\n"
