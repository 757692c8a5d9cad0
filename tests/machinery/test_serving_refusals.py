"""Refusals over HTTP: a bad request gets a 4xx that names the rule, and the next request is answered."""

import base64
import contextlib
import json
import socket

import pytest
import requests
from serving_server import IMAGE, JSON, PREDICT, answers_right, nd, serve

LIMIT = 8 * 1024 * 1024


@pytest.fixture(scope="module")
def server(bundle, serving_python):
    with serve(bundle, serving_python) as running:
        yield running


def tensor(shape, values) -> bytes:
    return json.dumps({"data": {"tensor": {"shape": shape, "values": values}}}).encode()


NUMBERS = b'{"data": {"ndarray": [[' + b"0," * 783
SECRET = "mother's maiden name"
# name: body, code, a word of the message that says what is expected
BAD = {
    "empty body": (b"", 400, "empty"),
    "blanks": (b"   ", 400, "not JSON"),
    "truncated": (nd([IMAGE])[:-3], 400, "not JSON"),
    "truncated in a number": (NUMBERS + b"1", 400, "not JSON"),
    "two documents": (nd([IMAGE]) * 2, 400, "not JSON"),
    "bad UTF-8": (b'{"data": {"ndarray": [["\xff\xfe"]]}}', 400, "not JSON"),
    "UTF-16": (nd([IMAGE]).decode().encode("utf-16"), 400, "not JSON"),
    "byte order mark": (b"\xef\xbb\xbf" + nd([IMAGE]), 400, "not JSON"),
    "lone surrogate": (b'{"data": "\\ud800"}', 400, "not JSON"),
    "NaN": (NUMBERS + b"NaN]]}}", 400, "not JSON"),
    "Infinity": (NUMBERS + b"Infinity]]}}", 400, "not JSON"),
    "minus Infinity": (NUMBERS + b"-Infinity]]}}", 400, "not JSON"),
    "1e400": (NUMBERS + b"1e400]]}}", 400, "infinity"),
    "nested 5,000 deep": (b"[" * 5000 + b"]" * 5000, 400, "depth"),
    "objects nested 5,000 deep": (b'{"data":' * 5000 + b"1" + b"}" * 5000, 400, "depth"),
    "ndarray nested 900 deep": (b'{"data": {"ndarray": ' + b"[" * 900 + b"]" * 900 + b"}}", 400, "N x 28 x 28"),
    "a list": (b"[]", 400, "JSON object"),
    "a number": (b"7", 400, "JSON object"),
    "a string": (b'"digit"', 400, "JSON object"),
    "null": (b"null", 400, "JSON object"),
    "true": (b"true", 400, "JSON object"),
    "nothing in it": (b"{}", 400, "data"),
    "another protocol": (b'{"instances": [[0]]}', 400, "data"),
    "data: null": (b'{"data": null}', 400, "data"),
    "data: list": (b'{"data": [1]}', 400, "ndarray"),
    "data: string": (b'{"data": "x"}', 400, "ndarray"),
    "data: empty": (b'{"data": {}}', 400, "ndarray"),
    "data: names alone": (b'{"data": {"names": ["a"]}}', 400, "ndarray"),
    "data: tftensor": (b'{"data": {"tftensor": {"dtype": 1}}}', 400, "ndarray"),
    "data and binData": (b'{"data": {"ndarray": [[0]]}, "binData": "AAAA"}', 400, "either"),
    "ndarray and tensor": (b'{"data": {"ndarray": [[0]], "tensor": {"shape": [1], "values": [1]}}}', 400, "either"),
    "strData": (b'{"strData": "digit"}', 400, "data"),
    "jsonData": (b'{"jsonData": {"digit": 1}}', 400, "data"),
    "ndarray: null": (b'{"data": {"ndarray": null}}', 400, "ndarray"),
    "ndarray: number": (nd(7), 400, "list of numbers"),
    "ndarray: string": (nd("0" * 784), 400, "list of numbers"),
    "ndarray: object": (nd({"0": 1}), 400, "list of numbers"),
    "ndarray: no image": (nd([]), 400, "no image"),
    "ndarray: an image of nothing": (nd([[]]), 400, "no image"),
    "ndarray: 784 numbers, not 1 x 784": (nd(IMAGE), 400, "N x 784"),
    "ndarray: one number": (nd([[1]]), 400, "28 x 28"),
    "ndarray: 783 pixels": (nd([IMAGE[1:]]), 400, "N x 784"),
    "ndarray: 785 pixels": (nd([[0, *IMAGE]]), 400, "N x 784"),
    "ndarray: 27 x 28": (nd([[0] * 28] * 27), 400, "28 x 28"),
    "ndarray: three channels": (nd([[[[0] * 28] * 28] * 3]), 400, "N x 1 x 28 x 28"),
    "ndarray: five dimensions": (nd([[[[[0] * 28] * 28]]]), 400, "28 x 28"),
    "ndarray: ragged": (nd([IMAGE, IMAGE[1:]]), 400, "ragged"),
    "ndarray: ragged within an image": (nd([[[0] * 28] * 27 + [[0] * 27]]), 400, "ragged"),
    "ndarray: number beside list": (nd([[0, [0], *IMAGE[2:]]]), 400, "ragged"),
    "ndarray: strings": (nd([["0"] * 784]), 400, "not a number"),
    "ndarray: one string": (nd([[*IMAGE[1:], SECRET]]), 400, "not a number"),
    "ndarray: null pixel": (nd([[*IMAGE[1:], None]]), 400, "not a number"),
    "ndarray: booleans": (nd([[True] * 784]), 400, "not a number"),
    "ndarray: an object for a pixel": (nd([[*IMAGE[1:], {}]]), 400, "not a number"),
    "ndarray: below 0": (nd([[*IMAGE[1:], -1]]), 400, "from 0 to 255"),
    "ndarray: just below 0": (nd([[*IMAGE[1:], -1e-9]]), 400, "from 0 to 255"),
    "ndarray: above 255": (nd([[*IMAGE[1:], 256]]), 400, "from 0 to 255"),
    "ndarray: 1e300": (nd([[*IMAGE[1:], 1e300]]), 400, "from 0 to 255"),
    "ndarray: a whole number of 400 digits": (NUMBERS + b"9" * 400 + b"]]}}", 400, "infinity"),
    "ndarray: 2**64": (nd([[*IMAGE[1:], 2**64]]), 400, "from 0 to 255"),
    "ndarray: 1,025 images": (nd([IMAGE] * 1025), 400, "1024"),
    "tensor: null": (b'{"data": {"tensor": null}}', 400, "tensor"),
    "tensor: list": (b'{"data": {"tensor": [1]}}', 400, "shape"),
    "tensor: no values": (b'{"data": {"tensor": {"shape": [1, 784]}}}', 400, "values"),
    "tensor: no shape": (b'{"data": {"tensor": {"values": [1]}}}', 400, "shape"),
    "tensor: null values": (tensor([1, 784], None), 400, "list of numbers"),
    "tensor: shape is a number": (tensor(784, IMAGE), 400, "whole numbers"),
    "tensor: negative size": (tensor([-1, 784], IMAGE), 400, "whole numbers"),
    "tensor: size with a fraction": (tensor([1.0, 784], IMAGE), 400, "whole numbers"),
    "tensor: true for a size": (tensor([True, 784], IMAGE), 400, "whole numbers"),
    "tensor: huge sizes": (tensor([2**62, 2**62], IMAGE), 400, "whole numbers"),
    "tensor: shape says more": (tensor([2, 784], IMAGE), 400, "as many"),
    "tensor: shape says less": (tensor([1, 28, 27], IMAGE), 400, "as many"),
    "tensor: no shape at all": (tensor([], [1]), 400, "28 x 28"),
    "tensor: nested values": (tensor([1, 784], [IMAGE]), 400, "flat"),
    "tensor: no image": (tensor([0, 784], []), 400, "no image"),
    "tensor: as the article sent it": (tensor([784], IMAGE), 400, "N x 784"),
    "tensor: above 255": (tensor([1, 784], [*IMAGE[1:], 255.5]), 400, "from 0 to 255"),
    "tensor: strings": (tensor([1, 784], ["1"] * 784), 400, "not a number"),
    "binData: not base64": (b'{"binData": "!!!!"}', 400, "base64"),
    "binData: cut": (b'{"binData": "AAAAA"}', 400, "base64"),
    "binData: empty": (b'{"binData": ""}', 400, "no image"),
    "binData: not ASCII": ('{"binData": "éééé"}'.encode(), 400, "base64"),
    "binData: 783 bytes": (json.dumps({"binData": base64.b64encode(bytes(783)).decode()}).encode(), 400, "784"),
    "binData: number": (b'{"binData": 7}', 400, "base64"),
    "binData: list": (b'{"binData": [0]}', 400, "base64"),
    "binData: 1,025 images": (
        json.dumps({"binData": base64.b64encode(bytes(1025 * 784)).decode()}).encode(),
        400,
        "1024",
    ),
    "meta: list": (b'{"meta": [], "data": {"ndarray": [[0]]}}', 400, "meta"),
    "meta: string": (b'{"meta": "x", "data": {"ndarray": [[0]]}}', 400, "meta"),
    "meta: tags are no object": (b'{"meta": {"tags": 7}, "data": {"ndarray": [[0]]}}', 400, "meta"),
    "meta: puid is no text": (b'{"meta": {"puid": {}}, "data": {"ndarray": [[0]]}}', 400, "meta"),
    "over the limit": (b" " * (LIMIT + 1), 413, "8 MiB"),
    "far over the limit": (b"[" * (3 * LIMIT), 413, "8 MiB"),
}


def assert_refused(answer, code, words, sent=b""):
    """A refusal in Seldon's form, that says what is expected and tells nothing of us or of what was sent."""
    assert answer.status_code == code, answer.text[:500]
    status = answer.json()["status"]
    assert (status["status"], status["code"]) == ("FAILURE", code)
    assert words in status["info"], status["info"]
    assert len(status["info"]) < 400
    for leak in ("Traceback", ".py", "numpy", "site-packages", SECRET):
        assert leak not in answer.text


@pytest.mark.parametrize("name", BAD)
def test_a_bad_body_is_refused_with_what_is_expected(server, name):
    body, code, words = BAD[name]
    assert_refused(requests.post(server.url(), data=body, headers=JSON, timeout=30), code, words, body)
    assert requests.post(server.url(), data=nd([IMAGE]), headers=JSON, timeout=10).status_code == 200


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "",
        "text/plain",
        "text/html",
        "application/xml",
        "application/octet-stream",
        "image/png",
        ";;;",
    ],
)
def test_a_body_of_another_type_is_refused(server, kind):
    headers = {} if kind is None else {"Content-Type": kind}
    assert_refused(requests.post(server.url(), data=nd([IMAGE]), headers=headers, timeout=10), 415, "application/json")


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
def test_an_encoded_body_is_refused_by_its_encoding(server, encoding):
    headers = JSON | {"Content-Encoding": encoding}
    answer = requests.post(server.url(), data=nd([IMAGE]), headers=headers, timeout=10)
    assert_refused(answer, 415, f"Content-Encoding {encoding}")


@pytest.mark.parametrize("body", [b"--x\r\n", b"", b"--x--\r\n", nd([IMAGE])])
@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "multipart/form-data"])
def test_a_broken_multipart_body_is_refused(server, kind, body):
    answer = requests.post(server.url(), data=body, headers={"Content-Type": kind}, timeout=10)
    assert_refused(answer, 415, "form")


@pytest.mark.parametrize("body", [b"", b"a=b", nd([IMAGE])])
def test_a_form_without_a_message_is_refused(server, body):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert_refused(requests.post(server.url(), data=body, headers=headers, timeout=10), 415, "application/json")


@pytest.mark.parametrize("body", [b"json={", b"json=%ff", b"json=[]", b"json=7&json=8"])
def test_a_form_with_a_bad_message_is_refused(server, body):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert_refused(requests.post(server.url(), data=body, headers=headers, timeout=10), 400, "JSON")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD"])
@pytest.mark.parametrize("path", [PREDICT, "/predict"])
def test_another_method_is_refused(server, method, path):
    answer = requests.request(method, server.url(path), timeout=10)
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]
    if method != "HEAD":
        assert_refused(answer, 405, "POST")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/v1.0/prediction",
        "/api/v2.0/predictions",
        "/route",
        "/aggregate",
        "/transform-input",
        "/transform-output",
        "/..%2f..%2fetc/passwd",
        "/%00",
        "/%ff",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_path_is_refused_and_the_right_one_named(server, path, method):
    answer = requests.request(method, server.url(path), data=nd([IMAGE]), headers=JSON, timeout=10)
    assert_refused(answer, 404, PREDICT)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"[]",
        b"7",
        b'{"reward": "x"}',
        b'{"reward": 1e400}',
        b'{"reward": "NaN"}',
        b'{"request": 7}',
        b'{"truth": {"data": {"ndarray": 7}}}',
        b'{"other": 1}',
        b'{"request":' * 900 + b"{}" + b"}" * 900,
    ],
)
def test_bad_feedback_is_refused(server, body):
    answer = requests.post(server.url("/api/v1.0/feedback"), data=body, headers=JSON, timeout=10)
    assert answer.status_code == 400, answer.text
    assert_refused(answer, 400, "")


START = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n".encode()
RAW = {
    "a chunk that is none": b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "a length that is none": b"Content-Length: many\r\n\r\n",
    "a negative length": b"Content-Length: -1\r\n\r\n",
    "two lengths": b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "an encoding nobody knows": b"Transfer-Encoding: brotli\r\n\r\n",
    "a header without a colon": b"Nonsense\r\n\r\n",
    "a header of 100 kB": b"X: " + b"x" * 100_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", RAW)
def test_bad_http_is_a_4xx_or_5xx_of_the_protocol_only(server, name):
    """uvicorn answers these before the model is asked."""
    start = START + b"Connection: close\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(start + RAW[name])
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionResetError):  # a long head is refused before all of it is sent
            answer = connection.recv(65536)
    if answer or "100 kB" not in name:
        assert 400 <= int(answer.split()[1]) < 500, answer[:300]
    assert b"Traceback" not in answer


def test_a_body_that_ends_before_its_length_is_let_go(server):
    start = START + b"Content-Length: 900\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(start + b'{"data":')
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65536)
    assert not answer or answer.split()[1] == b"400"
    assert answers_right(server)


def test_requests_that_come_before_their_turn_are_answered(server):
    """Two requests in one packet, the first with a body that its path does not read."""
    first = b"POST /route HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345"
    second = b"GET /health/ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(first + second)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 404")
    assert answer.endswith(b"pong")
