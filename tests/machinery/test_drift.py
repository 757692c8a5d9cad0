"""Drift: quiet on digits like those of training, loud on digits that are not, over what a real server counted."""

import base64
import json
import subprocess
from dataclasses import replace
from socket import AF_INET, SOCK_STREAM
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
from mlops import drift
from mlops.bundle import describe
from mlops.dataset import load
from mlops.images import STATISTICS, Images
from mlops.schema import Classes, Schema
from mlops.serving.bundle_files import read_metadata
from scipy import ndimage
from serving_server import serve

RANDOM = np.random.default_rng(7)
DIGIT = Images(28, 28)


def rotated(degrees):
    return lambda images: np.clip(ndimage.rotate(images.astype(float), degrees, (1, 2), reshape=False, order=1), 0, 255)


SHIFTED = {
    "inverted": lambda images: 255 - images,
    "noisy": lambda images: np.clip(images + RANDOM.normal(0, 25, images.shape), 0, 255),
    "rotated by 30 degrees": rotated(30),
    "rotated by 90 degrees": rotated(90),
    "upside down": lambda images: images[:, ::-1, ::-1],
    "blurred": lambda images: ndimage.gaussian_filter(images.astype(float), (0, 1, 1)),
    "two pixels to the right": lambda images: np.roll(images, 2, axis=2),
}


@pytest.fixture(scope="module")
def digits(data_file):
    """400 test digits, forty a class as near as they come."""
    return load(data_file).splits["test"].inputs[:400, ..., 0]


@pytest.fixture(scope="module")
def server(bundle, serving_python):
    with serve(bundle, serving_python) as running:
        yield running


def report_on(server, images):
    """What drift says of these images alone, after the server was asked about them."""
    before = drift.look([server.page])
    pixels = np.ascontiguousarray(images, dtype=np.uint8).tobytes()
    answer = requests.post(server.url(), json={"binData": base64.b64encode(pixels).decode()}, timeout=30)
    assert answer.status_code == 200, answer.text
    return drift.compare(drift.since(drift.look([server.page]), before))


def test_quiet_on_clean_digits(server, digits):
    report = report_on(server, digits)
    print(drift.as_text(report))
    assert report["verdict"] == "quiet"
    assert report["examples"] == 400
    assert all(abs(found["shift"]) < 0.2 for found in report["statistics"].values())


@pytest.mark.parametrize("name", SHIFTED)
def test_loud_on_shifted_digits(server, digits, name):
    report = report_on(server, SHIFTED[name](digits))
    print(name, drift.as_text(report), sep="\n")
    assert report["verdict"] == "moved"


def test_quiet_on_most_small_samples_of_clean_digits(bundle, data_file):
    statistics = read_metadata(bundle)["training_inputs"]["statistics"]
    training = {name: (moments["mean"], moments["sd"]) for name, moments in statistics.items()}
    inputs = load(data_file).splits["test"].inputs
    verdicts = []
    for _ in range(200):
        found = DIGIT.describe(inputs[RANDOM.choice(len(inputs), 60, replace=False)])
        seen = drift.Seen("run", training, 60, found.sum(axis=0), np.square(found).sum(axis=0))
        verdicts.append(drift.compare(seen)["verdict"])
    assert verdicts.count("quiet") >= 198


def test_what_the_server_counted_is_what_the_images_are(server, digits):
    before = drift.look([server.page])
    requests.post(server.url(), json={"data": {"ndarray": digits[:50].reshape(50, 784).tolist()}}, timeout=30)
    seen = drift.since(drift.look([server.page]), before)
    expected = describe(Schema(DIGIT, Classes(("a", "b"))), digits[:50])["statistics"]
    for name, total, square in zip(STATISTICS, seen.sums, seen.squares, strict=True):
        mean = total / 50
        assert mean == pytest.approx(expected[name]["mean"], rel=1e-4, abs=1e-5)
        spread = (square / 50 - mean**2) ** 0.5
        assert spread == pytest.approx(expected[name]["sd"], rel=1e-3)


def test_statistics_of_images_that_can_be_told_by_hand():
    images = np.zeros((3, 28, 28), dtype=np.uint8)
    images[1] = 255
    images[2, 0, 27] = 255  # one pixel of ink, in the upper right corner
    black, white, corner = (dict(zip(STATISTICS, row, strict=True)) for row in DIGIT.describe(images))
    assert black == dict.fromkeys(STATISTICS, 0.0)
    assert (white["mean"], white["ink"], white["roughness"]) == (255, 1, 0)
    assert white["row"] == white["column"] == pytest.approx(0, abs=1e-5)
    assert white["height"] == pytest.approx(0, abs=1e-5)
    assert (corner["row"], corner["column"]) == (-13.5, 13.5)
    assert corner["ink"] == pytest.approx(1 / 784)


def test_statistics_follow_the_schemas_range_and_its_channels():
    """Brightness is above `low`, ink above the middle of the range, and color the mean over the channels."""
    seen = Images(4, 6, 3, low=-1, high=1)
    pictures = np.full((2, 4, 6, 3), -1.0)
    pictures[1, ..., 0] = 1  # one of three channels is bright
    dark, bright = (dict(zip(STATISTICS, row, strict=True)) for row in seen.describe(pictures))
    assert (dark["mean"], dark["ink"]) == pytest.approx((-1, 0))
    assert bright["mean"] == pytest.approx(-1 / 3)
    assert bright["ink"] == 0
    pictures[1, ..., 1] = 1  # two of three: the mean is above the middle
    assert seen.describe(pictures)[1, list(STATISTICS).index("ink")] == 1


@pytest.fixture
def ask_drift(command, environment, tmp_path):
    """The command as its user types it, where no server was started; gives the finished process."""

    def run(*arguments) -> subprocess.CompletedProcess:
        words = [*command, "drift", *map(str, arguments)]
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
        assert "Traceback" not in done.stderr
        return done

    return run


def test_the_command_says_what_it_found_by_its_exit_code(ask_drift, bundle, serving_python, digits):
    with serve(bundle, serving_python) as server:
        page = server.page
        few = ask_drift(page)
        assert (few.returncode, few.stdout.split(" examples")[0]) == (2, "0")

        ask = {"binData": base64.b64encode(digits.tobytes()).decode()}
        requests.post(server.url(), json=ask, timeout=30)
        quiet = ask_drift(page)
        assert quiet.returncode == 0, quiet.stdout
        assert "Quiet over 400 examples" in quiet.stdout

        ask = {"binData": base64.b64encode((255 - digits).tobytes()).decode()}
        requests.post(server.url(), json=ask, timeout=30)
        moved = ask_drift(page, "--json")
        assert moved.returncode == 1
        assert json.loads(moved.stdout)["statistics"]["mean"]["moved"]

        twice = ask_drift(page, page, "--json")  # as if there were two replicas
        assert json.loads(twice.stdout)["examples"] == 1600


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1/metrics", "does not answer"),
        ("127.0.0.1:6000", "not an http address"),
        ("file:///etc/hostname", "not an http address"),
    ],
)
def test_an_address_that_cannot_be_asked_is_named(ask_drift, url, words):
    done = ask_drift(url)
    assert done.returncode == 2
    assert url in done.stderr
    assert words in done.stderr


def test_the_port_of_the_predictions_is_told_from_that_of_the_metrics(ask_drift, server):
    done = ask_drift(server.url("/health/ping"))
    assert done.returncode == 2
    assert "metrics port" in done.stderr


def test_replicas_of_different_runs_are_refused(server):
    page = drift.look([server.page])
    with pytest.raises(ValueError, match="from different runs"):
        drift.add([page, replace(page, run="0" * 32)])


def test_a_name_that_stands_for_several_replicas_is_asked_at_each(server, monkeypatch):
    """As a headless Service's does: 127.0.0.2 is this machine too."""
    both = [(AF_INET, SOCK_STREAM, 0, "", (host, urlsplit(server.page).port)) for host in ("127.0.0.1", "127.0.0.2")]
    monkeypatch.setattr(drift.socket, "getaddrinfo", lambda *_, **__: both)
    with monkeypatch.context() as asked:
        seen = []
        asked.setattr(
            requests, "get", lambda url, **options: seen.append(url) or requests.request("get", url, **options)
        )
        drift.fetch(server.page.replace("127.0.0.1", "model-metrics"))
    assert [url.split("/")[2].split(":")[0] for url in seen] == ["127.0.0.1", "127.0.0.2"]


def test_no_address_and_no_server_is_said_with_what_to_type(ask_drift):
    done = ask_drift()
    assert done.returncode == 2
    assert "make serve" in done.stderr
