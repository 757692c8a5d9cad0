"""schema.toml: the first data writes it, people edit it, and data that does not fit it is refused with a difference."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from mlops import dataset as datasets
from mlops import schema as schemas
from mlops.errors import UserError
from mlops.sources import Request
from sources_of_people import write_idx

OUT = "out/dataset.safetensors"


def test_the_first_data_writes_the_schema_and_the_next_leaves_it_alone(team, dataset, idx_folder, empty_folder):
    team.prepare(Request(str(idx_folder)), empty_folder / OUT)
    assert schemas.read() == dataset.schema
    commented = schemas.FILE.read_text(encoding="utf-8") + "# ours\n"
    schemas.FILE.write_text(commented, encoding="utf-8")
    team.prepare(Request(str(idx_folder)), empty_folder / OUT)
    assert schemas.FILE.read_text(encoding="utf-8") == commented


def test_a_source_that_does_not_fit_the_schema_shows_the_difference_and_nothing_is_written(
    stage, data_file, idx_folder, tmp_path
):
    schema = Path(shutil.copy(data_file.parents[2] / "schema.toml", tmp_path))
    kept = Path(shutil.copy(data_file, tmp_path))
    before = schema.read_bytes(), kept.read_bytes()
    narrow = np.zeros((600, 20, 28))
    write_idx(idx_folder / "train-images-idx3-ubyte", narrow)
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (idx_folder / name).unlink()
    refused = stage("prepare", "--source", str(idx_folder), "--output", kept.name, cwd=tmp_path, fails=True)
    assert f"{idx_folder} does not fit schema.toml" in refused.stderr
    assert "inputs.height: 20, not 28" in refused.stderr
    assert "inputs.width" not in refused.stderr and "outputs" not in refused.stderr
    assert (schema.read_bytes(), kept.read_bytes()) == before


def test_a_source_of_other_classes_shows_both(team, idx_folder, empty_folder, dataset):
    schemas.write(dataset.schema, {})
    write_idx(idx_folder / "train-labels-idx1-ubyte.gz", dataset.splits["train"].targets[:600] + 1)
    with pytest.raises(UserError, match=r"outputs\.classes: \['1', .*'10'\], not \['0', .*'9'\]"):
        team.prepare(Request(str(idx_folder)), empty_folder / OUT)
    assert not (empty_folder / OUT).exists()


def test_what_people_change_in_the_schema_holds_for_the_data(team, idx_folder, empty_folder):
    """The range and the order of the classes are no property of the source: they are a choice."""
    first = team.prepare(Request(str(idx_folder)), empty_folder / OUT)
    text = schemas.FILE.read_text(encoding="utf-8")
    schemas.FILE.write_text(text.replace("high = 255", "high = 300"), encoding="utf-8")
    assert team.prepare(Request(str(idx_folder)), empty_folder / OUT).schema.inputs.high == 300
    backwards = schemas.Schema(first.schema.inputs, schemas.Classes(first.schema.outputs.classes[::-1]))
    schemas.write(backwards, {})
    again = team.prepare(Request(str(idx_folder)), empty_folder / OUT)
    assert again.schema == backwards == datasets.load(empty_folder / OUT).schema
    assert np.array_equal(first.splits["test"].inputs, again.splits["test"].inputs)
    assert np.array_equal(again.splits["test"].targets, 9 - first.splits["test"].targets)
    assert again.origin["digest"] != first.origin["digest"]


def test_a_range_that_the_examples_leave_is_refused(team, idx_folder, empty_folder):
    team.prepare(Request(str(idx_folder)), empty_folder / OUT)
    before = (empty_folder / OUT).read_bytes()
    text = schemas.FILE.read_text(encoding="utf-8")
    schemas.FILE.write_text(text.replace("high = 255", "high = 254"), encoding="utf-8")
    with pytest.raises(UserError, match=r"does not fit schema.toml[\s\S]*from 0 to 255, not from 0 to 254"):
        team.prepare(Request(str(idx_folder)), empty_folder / OUT)
    assert (empty_folder / OUT).read_bytes() == before


def test_pictures_of_another_scale_are_refused_and_dark_ink_on_bright_paper_is_pointed_out(
    team, dataset, idx_folder, empty_folder
):
    pictures = dataset.splits["train"].inputs[:600, ..., 0]
    write_idx(idx_folder / "train-images-idx3-ubyte", pictures > 127)
    with pytest.raises(UserError, match=r"from 0 to 1, and 0 to 255 is meant\. Multiply them by 255"):
        team.prepare(Request(str(idx_folder)), empty_folder / OUT)
    assert not (empty_folder / OUT).exists() and not schemas.FILE.exists()
    write_idx(idx_folder / "train-images-idx3-ubyte", 255 - pictures)
    assert any("WARNING: the pictures are bright" in line for line in team.prepare(Request(str(idx_folder))).report)


def test_a_test_set_of_another_size_or_of_nothing_is_refused(team, idx_folder, empty_folder):
    write_idx(idx_folder / "t10k-images-idx3-ubyte", np.zeros((100, 28, 20)))
    with pytest.raises(UserError, match="pictures of 28 x 20 x 1, not of 28 x 28 x 1"):
        team.prepare(Request(str(idx_folder)), empty_folder / OUT)
    write_idx(idx_folder / "t10k-images-idx3-ubyte", np.zeros((0, 28, 28)))
    write_idx(idx_folder / "t10k-labels-idx1-ubyte", np.zeros(0))
    with pytest.raises(UserError, match="a test set without examples"):
        team.prepare(Request(str(idx_folder)), empty_folder / OUT)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[inputs]", "[inputs", "schema.toml cannot be read"),
        ("[inputs]", "[input]", "must hold the parts [inputs], [outputs] and [source]"),
        ('kind = "images"', 'kind = "sounds"', "inputs.kind is 'sounds'; it is one of: images"),
        ("height = 28", 'height = "28"', "height is '28'; it is a whole number above 0"),
        ("height = 28", "", "missing 1 required positional argument: 'height'"),
        ("height = 28", "height = 28\ndepth = 1", "unexpected keyword argument 'depth'"),
        ("high = 255", "high = 0", "low must be less than high"),
        ('"0",', "0,", "classes are texts"),
        ('"0",', '"1",', "each only once"),
    ],
)
def test_a_schema_that_is_none_names_the_part(dataset, empty_folder, old, new, told):
    schemas.write(dataset.schema, {})
    text = schemas.FILE.read_text(encoding="utf-8")
    assert old in text
    schemas.FILE.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError) as refusal:
        schemas.read()
    assert told in str(refusal.value)
    assert "schema.toml" in str(refusal.value)
