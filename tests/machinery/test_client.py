"""predict: what an example must be is checked and said; every way a server can fail ends in a message."""

import http.server
import json
import shutil
import threading
import time

import numpy as np
import pytest
from mlops import client, pictures, project
from mlops import dataset as datasets
from mlops import schema as schemas
from mlops.columns import Column
from mlops.errors import UserError
from mlops.schema import Classes, Images, Schema, Table
from mlops.sources import Source, folders
from PIL import Image

SAMPLES = sorted((project.ROOT / "tests/images").glob("*.png"))
SCHEMA = Images(28, 28)
INK = np.zeros((28, 28, 1), np.uint8)
INK[8:20, 12:16] = 255
DIGITS = Schema(SCHEMA, Classes(tuple("0123456789")))


def test_there_is_a_digit_of_each_class_to_ask_with():
    assert [path.name[0] for path in SAMPLES] == list("0123456789")


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_the_digits_to_ask_with_are_test_digits_as_they_are(path, data_file):
    index = int(path.stem.split("-")[-1])
    (question,) = client.test_examples([index], data_file)
    assert np.array_equal(read(path), question.inputs)
    assert question.label == path.name[0]


def read(path, inputs=SCHEMA):
    return client.picture(path, Schema(inputs, Classes(("0", "1")))).inputs


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "There is no file"),
        (lambda path: path.write_bytes(b"not an image"), "cannot be read as a picture"),
        (lambda path: path.write_bytes(SAMPLES[0].read_bytes()[:80]), "cannot be read as a picture"),
    ],
    ids=["missing", "no image", "cut short"],
)
def test_what_is_no_picture_is_refused_by_name(tmp_path, make, reason):
    make(tmp_path / "digit.png")
    with pytest.raises(UserError) as refusal:
        read(tmp_path / "digit.png")
    assert reason in str(refusal.value)
    assert "digit.png" in str(refusal.value)


def test_a_picture_is_made_ready_as_the_training_pictures_were(tmp_path):
    Image.fromarray(np.pad(INK, ((0, 0), (7, 7), (0, 0)))[..., 0]).convert("RGB").save(tmp_path / "wide.png")
    assert np.array_equal(read(tmp_path / "wide.png"), folders.load(tmp_path / "wide.png", SCHEMA))


def test_a_jpeg_is_read(tmp_path):
    Image.fromarray(INK[..., 0]).save(tmp_path / "digit.jpg", quality=95)
    assert np.abs(read(tmp_path / "digit.jpg").astype(int) - INK).mean() < 5


def test_a_color_picture_is_read_by_a_schema_of_three_channels(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (20, 24, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "color.png")
    assert np.array_equal(read(tmp_path / "color.png", Images(20, 24, 3)), pixels)


def test_a_model_that_takes_no_such_picture_says_so(tmp_path):
    Image.fromarray(INK[..., 0]).save(tmp_path / "gray.png")
    with pytest.raises(UserError, match="takes 4 channels"):
        read(tmp_path / "gray.png", Images(28, 28, 4))
    with pytest.raises(UserError, match="takes no pictures: rows of 1 values in the order age"):
        read(tmp_path / "gray.png", Table((Column("age", "number"),)))


def test_a_test_example_that_is_not_there_is_refused(data_file):
    with pytest.raises(UserError, match="no test example 1000: they go from 0 to 999"):
        client.test_examples([1000], data_file)


def test_the_samples_are_asked_about_where_they_fit_the_schema_and_else_an_example_of_each_class(
    data_file, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    dataset = datasets.load(data_file)
    folder = SAMPLES[0].parent
    assert [question.label for question in client.samples(folder, dataset.schema, data_file)] == list("0123456789")
    train = dataset.splits["train"].take(np.arange(300))
    letters = np.array(list("abcdefghij"))[train.targets]
    other = datasets.prepare(Source("letters", train.inputs[:, ::2, ::2], letters), "", tmp_path / "letters")
    found = client.samples(folder, other.schema, tmp_path / "letters")
    assert [question.label for question in found] == list("abcdefghij")
    assert {question.inputs.shape for question in found} == {(14, 14, 1)}


@pytest.fixture
def answering():
    """Start a server that answers every request with the status and the body given; gives its URL."""
    servers = []

    def start(status: int, body: bytes, delay: float = 0) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                time.sleep(delay)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


QUESTION = client.Question("ink", INK)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, {"status": {"info": "28 by 28, please"}}, "answered 400: 28 by 28, please"),
        (503, b"upstream is down", "answered 503: upstream is down"),
        (200, b"<html>", "not as a model of this template does"),
        (
            200,
            {"data": {"names": ["0"], "ndarray": [[1.0], [1.0]]}},
            "answers of shape (2, 1) for 1 examples and 1 outputs",
        ),
        (200, {"data": {"names": ["0"]}}, "not as a model of this template does"),
        (200, [], "not as a model of this template does"),
    ],
)
def test_an_answer_that_is_none_ends_in_a_message(answering, status, body, reason):
    url = answering(status, body if isinstance(body, bytes) else json.dumps(body).encode())
    with pytest.raises(UserError) as refusal:
        client.ask(url, [QUESTION], DIGITS)
    assert reason in str(refusal.value)


def test_a_server_that_does_not_answer_in_time_ends_in_a_message(answering):
    with pytest.raises(UserError, match=r"did not answer within 0\.2 s"):
        client.ask(answering(200, b"{}", delay=2), [QUESTION], DIGITS, timeout=0.2)


def test_no_server_at_all_ends_in_a_message(stage, data_file, tmp_path):
    shutil.copy(data_file.parents[2] / "schema.toml", tmp_path)
    error = stage("predict", "--url", "http://127.0.0.1:9", str(SAMPLES[0]), cwd=tmp_path, fails=True).stderr
    assert "No server answers at http://127.0.0.1:9/api/v1.0/predictions" in error
    assert "No server runs here" in stage("predict", str(SAMPLES[0]), cwd=tmp_path, fails=True).stderr


def test_without_a_schema_a_picture_is_not_guessed_about(stage, tmp_path):
    error = stage("predict", "--url", "http://127.0.0.1:9", str(SAMPLES[0]), cwd=tmp_path, fails=True).stderr
    assert str(schemas.FILE) in error and "make data" in error


def test_the_address_of_a_gateway_is_taken_as_it_is(answering):
    body = json.dumps(
        {"data": {"names": ["3", "4"], "ndarray": [[0.25, 0.75]]}, "meta": {"tags": {"run": "abc"}}}
    ).encode()
    url = answering(200, body) + "/seldon/seldon/digits/api/v1.0/predictions"
    assert client.ask(url, [QUESTION], DIGITS) == [client.Answer("ink", "4", 0.75, "abc")]


def test_a_wrong_answer_is_shown_as_wrong():
    answers = [client.Answer("a", "4", 0.75, "abc", "4"), client.Answer("b", "4", 0.75, "abc", "9")]
    lines = client.table(answers).splitlines()
    assert lines[1].endswith("  right") and lines[2].endswith("  wrong: it is 9")
    assert lines[3] == "answered by run abc"


def test_the_picture_shows_each_digit_over_its_answer():
    sheet = np.asarray(pictures.sheet([INK] * 3, ["1  98.7%"] * 3))
    assert sheet.shape == (28 * 4 + 28, 3 * 28 * 4, 3)
    assert np.array_equal(sheet[: 28 * 4 : 4, : 28 * 4 : 4, 0], INK[..., 0])
    assert (sheet[28 * 4 :] < 128).any()
