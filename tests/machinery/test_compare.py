"""compare: two runs side by side; their difference is counted example by example, and chance is told from more."""

import numpy as np
import pytest
from mlops import compare, runs
from mlops.errors import UserError
from PIL import Image
from test_runs import NOW, write_record

A, B = "a" * 32, "b" * 32


def record(folder, uuid, answers=None, targets=None, names=("no", "yes"), **changed):
    """Write a run's record with these answers on validation; gives the run."""
    path = write_record(folder / uuid, **changed)
    if answers is not None:
        np.savez(path / "outputs" / runs.ANSWERS, answers=answers, targets=targets, names=np.array(names))
    return runs.find(uuid)


def report(one, other, tmp_path):
    return "\n".join(compare.report(one, other, tmp_path / "compare.png"))


def test_two_runs_are_shown_with_what_differs_and_how_many_examples_they_are_apart(two_runs, stage):
    shared, short, _ = two_runs
    shown = stage("compare", "--run", shared[:8], "--run", short).stdout
    assert shown.split()[:2] == [shared[:12], short[:12]]
    lines = [line.split() for line in shown.splitlines()]
    assert ["train_steps", "0", "10"] in lines
    same = " ".join(shown.partition("the same: ")[2].partition("\n\n")[0].split())
    assert "3500 train, 500 validation, 1000 test" in same and "libraries torch " in same
    right = [int((found["answers"] == found["targets"]).sum()) for found in map(answers, (shared, short))]
    assert [runs.find(uuid).outputs["score"] for uuid in (shared, short)] == [count / 500 for count in right]
    assert f"examples apart: {abs(right[0] - right[1])};" in shown
    assert "More than chance explains (McNemar" in shown
    with Image.open("build/compare.png") as picture:
        assert picture.width > 1000


def answers(uuid):
    with np.load(runs.find(uuid).answers) as file:
        return dict(file)


def test_without_names_the_best_two_are_compared_and_one_name_is_compared_with_the_best(two_runs, stage):
    _, short, _ = two_runs
    assert stage("compare", "--run", short).stdout.split()[1] == short[:12]
    assert len(set(stage("compare").stdout.split()[:2])) == 2
    for chosen, reason in (
        ([short, short], "Both are run"),
        ([short] * 3, "3 runs are named"),
        (["no"], "there is no"),
    ):
        options = [word for uuid in chosen for word in ("--run", uuid)]
        assert reason in stage("compare", *options, fails=True).stderr


def test_one_run_alone_is_not_compared(folder, tmp_path):
    one = record(folder, A)
    with pytest.raises(UserError, match="no two runs of the data and the code of now"):
        compare.pair([], lambda: [one])


def test_a_small_difference_of_classes_is_no_more_than_chance_and_a_large_one_is(folder, tmp_path):
    targets = np.arange(100) % 2
    one = record(folder, A, targets, targets)
    near, far = np.where(np.arange(100) < 4, 1 - targets, targets), np.where(np.arange(100) < 9, 1 - targets, targets)
    shown = report(one, record(folder, B, near, targets), tmp_path)
    assert "accuracy 1.0000 on validation: 100 of 100 right; 95 % interval 0.9630 to 1.0000" in shown
    assert "examples apart: 4; 4 only the first has right, 0 only the second, 96 both, 0 neither" in shown
    assert "No more than chance explains: neither is known to be better (McNemar's exact test: p = 0.12)" in shown
    assert "p = 0.0039" in report(one, record(folder, "c" * 32, far, targets), tmp_path)


def test_numbers_are_compared_by_r2_resampled(folder, tmp_path):
    random = np.random.default_rng(1)
    targets = random.normal(size=200).astype(np.float32)
    near, far = (targets + random.normal(scale=scale, size=200).astype(np.float32) for scale in (0.1, 1))
    one, other = (record(folder, uuid, found, targets, ["cost, $"]) for uuid, found in ((A, near), (B, far)))
    shown = report(one, other, tmp_path)
    assert "of 200 examples; 95 % interval 0.9" in shown
    assert "More than chance explains (paired bootstrap" in shown
    assert "neither is known to be better" in report(one, one, tmp_path)


@pytest.mark.parametrize("damage", ["none", "half", "another file"])
def test_a_run_without_answers_is_compared_by_what_it_recorded(folder, tmp_path, damage):
    targets = np.arange(100) % 2
    one, other = record(folder, A, targets, targets), record(folder, B, targets, targets, score=0.25)
    content = other.answers.read_bytes()
    other.answers.unlink() if damage == "none" else other.answers.write_bytes(
        content[: len(content) // 2] if damage == "half" else b"text"
    )
    shown = report(one, other, tmp_path)
    assert "0.25" in shown
    assert f"{B[:12]}  has no answers on validation recorded\nNot compared example by example: train it again" in shown


def test_runs_of_other_data_are_shown_and_not_compared_example_by_example(folder, tmp_path):
    names = [f"class {number} $" for number in range(30)]
    one = record(folder, A, np.arange(30), np.arange(30), names)
    targets = np.linspace(0, 1, 9, dtype=np.float32)
    other = record(folder, B, targets, targets, ["cost"], inputs={**NOW, "data_digest": "e" * 64})
    shown = report(one, other, tmp_path)
    assert ["data_digest", "d" * 12, "e" * 12] in [line.split() for line in shown.splitlines()]
    assert "Not compared example by example: they are of other data" in shown
    assert (tmp_path / "compare.png").is_file()
