"""predict: what an image must be is checked and said; every way a server can fail ends in a message."""

import http.server
import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from {{ cookiecutter.src_package_name }} import client
from {{ cookiecutter.src_package_name }}.errors import UserError

IMAGES = sorted(Path(__file__).parent.glob("images/*.png"))


def test_there_is_a_digit_of_each_class_to_ask_with():
    assert [path.name[0] for path in IMAGES] == list("0123456789")


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.name)
def test_the_digits_to_ask_with_are_test_digits_as_they_are(path, data_file):
    index = int(path.stem.split("-")[-1])
    (question,) = client.read_test_digits([index], data_file)
    assert np.array_equal(client.read_image(path).pixels, question.pixels)
    assert question.label == path.name[0]


def save(path, pixels, mode):
    Image.fromarray(pixels).convert(mode).save(path)


INK = np.zeros((28, 28), np.uint8)
INK[8:20, 12:16] = 255


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "There is no file"),
        (lambda path: path.write_bytes(b"not an image"), "cannot be read as an image"),
        (lambda path: path.write_bytes(IMAGES[0].read_bytes()[:80]), "cannot be read as an image"),
        (lambda path: save(path, np.zeros((30, 28), np.uint8), "L"), "28 by 30 pixels of mode L; a digit is 28 by 28"),
        (lambda path: save(path, INK, "RGB"), "28 by 28 pixels of mode RGB"),
        (lambda path: save(path, 255 - INK, "L"), "white on black. Invert it"),
    ],
    ids=["missing", "no image", "cut short", "other size", "colour", "black on white"],
)
def test_another_image_is_refused_with_what_one_must_be(tmp_path, make, reason):
    make(tmp_path / "digit.png")
    with pytest.raises(UserError) as refusal:
        client.read_image(tmp_path / "digit.png")
    assert reason in str(refusal.value)


def test_a_jpeg_is_read(tmp_path):
    Image.fromarray(INK).save(tmp_path / "digit.jpg", quality=95)
    assert np.abs(client.read_image(tmp_path / "digit.jpg").pixels.astype(int) - INK).mean() < 5


def test_a_test_digit_that_is_not_there_is_refused(data_file):
    with pytest.raises(UserError, match="no test digit 1000: they go from 0 to 999"):
        client.read_test_digits([1000], data_file)


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
        (200, b"<html>", "not as a digit classifier does"),
        (200, {"data": {"names": ["0"], "ndarray": [[1.0], [1.0]]}}, "2, 1) probabilities for 1 digits of 1 classes"),
        (200, {"data": {"names": ["0"]}}, "not as a digit classifier does"),
        (200, [], "not as a digit classifier does"),
    ],
)
def test_an_answer_that_is_none_ends_in_a_message(answering, status, body, reason):
    url = answering(status, body if isinstance(body, bytes) else json.dumps(body).encode())
    with pytest.raises(UserError) as refusal:
        client.ask(url, [QUESTION])
    assert reason in str(refusal.value)


def test_a_server_that_does_not_answer_in_time_ends_in_a_message(answering):
    with pytest.raises(UserError, match=r"did not answer within 0\.2 s"):
        client.ask(answering(200, b"{}", delay=2), [QUESTION], timeout=0.2)


def test_no_server_at_all_ends_in_a_message(stage):
    error = stage("predict", "--url", "http://127.0.0.1:9", str(IMAGES[0]), fails=True).stderr
    assert "No server answers at http://127.0.0.1:9/api/v1.0/predictions" in error
    assert "No server runs here" in stage("predict", str(IMAGES[0]), fails=True).stderr
    assert "Nothing to ask about" in stage("predict", fails=True).stderr


def test_the_address_of_a_gateway_is_taken_as_it_is(answering):
    body = json.dumps(
        {"data": {"names": ["3", "4"], "ndarray": [[0.25, 0.75]]}, "meta": {"tags": {"run": "abc"}}}
    ).encode()
    url = answering(200, body) + "/seldon/seldon/digits/api/v1.0/predictions"
    assert client.ask(url, [QUESTION]) == [client.Answer("ink", "4", 0.75, "abc")]


def test_the_picture_shows_each_digit_over_its_answer():
    answers = [client.Answer("ink", "1", 0.987, "abc")] * 3
    sheet = np.asarray(client.picture([QUESTION] * 3, answers))
    assert sheet.shape == (28 * 4 + 28, 3 * 28 * 4)
    assert np.array_equal(sheet[: 28 * 4 : 4, : 28 * 4 : 4], INK)
    assert (sheet[28 * 4 :] < 128).any()
