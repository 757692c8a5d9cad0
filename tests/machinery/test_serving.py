"""Right answers over HTTP, from a real server: in every shape and form that a caller may send."""

import base64
import json

import pytest
import requests
from serving_server import IMAGE, JSON, PREDICT, nd, recorded, serve

SIDE = 28


@pytest.fixture(scope="module")
def server(bundle, serving_python):
    with serve(bundle, serving_python) as running:
        yield running


@pytest.fixture(scope="module")
def digits(bundle):
    return recorded(bundle)


def ask(server, message, **options):
    return requests.post(server.url(), json=message, timeout=10, **options)


def close(found, expected, tolerance=1e-5) -> bool:
    pairs = zip(found, expected, strict=True)
    return all(abs(a - b) < tolerance for row, other in pairs for a, b in zip(row, other, strict=True))


def rows(pixels):
    return [pixels[start : start + SIDE] for start in range(0, SIDE * SIDE, SIDE)]


SHAPES = {
    "N x 28 x 28": lambda digits: [rows(digit["inputs"]) for digit in digits],
    "N x 784": lambda digits: [digit["inputs"] for digit in digits],
    "N x 1 x 28 x 28": lambda digits: [[rows(digit["inputs"])] for digit in digits],
    "N x 28 x 28 x 1": lambda digits: [
        [[[pixel] for pixel in row] for row in rows(digit["inputs"])] for digit in digits
    ],
    "one 28 x 28": lambda digits: rows(digits[0]["inputs"]),
}


def shape_of(values) -> list:
    return [len(values), *shape_of(values[0])] if isinstance(values, list) else []


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("form", ["ndarray", "tensor"])
def test_every_shape_in_both_forms_gives_the_recorded_answers(server, digits, name, form):
    values = SHAPES[name](digits)
    expected = [digit["outputs"] for digit in (digits if len(values) == len(digits) else digits[:1])]
    if form == "tensor":
        flat = [pixel for digit in digits[: len(expected)] for pixel in digit["inputs"]]
        data = {"tensor": {"shape": shape_of(values), "values": flat}}
    else:
        data = {"ndarray": values}

    answer = ask(server, {"data": data})

    assert answer.status_code == 200, answer.text
    found = answer.json()["data"]
    assert found["names"] == [str(digit) for digit in range(10)]
    if form == "tensor":
        assert found["tensor"]["shape"] == [len(expected), 10]
        flat = found["tensor"]["values"]
        assert close([flat[start : start + 10] for start in range(0, len(flat), 10)], expected)
    else:
        assert close(found["ndarray"], expected)


def test_bytes_give_the_recorded_answers(server, digits):
    pixels = b"".join(bytes(digit["inputs"]) for digit in digits)
    answer = ask(server, {"binData": base64.b64encode(pixels).decode()})
    assert answer.status_code == 200, answer.text
    assert close(answer.json()["data"]["ndarray"], [digit["outputs"] for digit in digits])


def test_a_batch_that_is_larger_than_the_model_takes_at_once_is_whole_and_in_order(server, digits):
    many = [digits[number % 10] for number in range(300)]
    pixels = b"".join(bytes(digit["inputs"]) for digit in many)
    answer = ask(server, {"binData": base64.b64encode(pixels).decode()})
    assert close(answer.json()["data"]["ndarray"], [digit["outputs"] for digit in many])


@pytest.mark.parametrize("form", ["ndarray", "tensor"])
def test_whole_numbers_and_others_are_read_alike(server, digits, form):
    pixels = [digits[0]["inputs"], [*digits[1]["inputs"][:-1], True]]
    for images in (pixels, [list(map(float, image)) for image in pixels], [*pixels[:1], [0.0, *pixels[1][1:]]]):
        values = [pixel for image in images for pixel in image]
        data = {"ndarray": images} if form == "ndarray" else {"tensor": {"shape": [2, 784], "values": values}}
        answer = ask(server, {"data": data}).json()["data"]
        found = answer["ndarray"] if form == "ndarray" else [answer["tensor"]["values"][:10]]
        assert close(found[:1], [digits[0]["outputs"]])


def test_the_answer_carries_the_run_and_what_the_caller_sent_along(server, bundle):
    run = json.loads((bundle / "metadata.json").read_text())["run"]["uuid"]
    message = {"meta": {"puid": "abc", "tags": {"caller": "test"}}, "data": {"ndarray": [[0] * 784]}}
    meta = ask(server, message).json()["meta"]
    assert meta["tags"]["run"] == run
    assert meta["tags"]["caller"] == "test"
    assert meta["puid"] == "abc"


@pytest.mark.parametrize("path", [PREDICT, "/api/v0.1/predictions", "/predict"])
def test_the_wrappers_three_paths_answer_alike(server, path):
    answer = requests.post(server.url(path), json={"data": {"ndarray": [[255] * 784]}}, timeout=10)
    assert answer.status_code == 200
    assert abs(sum(answer.json()["data"]["ndarray"][0]) - 1) < 1e-4


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "APPLICATION/JSON"])
def test_a_content_type_may_say_more(server, kind):
    body = json.dumps({"data": {"ndarray": [IMAGE]}})
    assert requests.post(server.url(), data=body, headers={"Content-Type": kind}, timeout=10).status_code == 200


def test_a_browser_may_ask(server):
    origin = {"Origin": "http://example.com"}
    asked = requests.options(server.url(), headers={**origin, "Access-Control-Request-Method": "POST"}, timeout=10)
    assert asked.ok and "content-type" in asked.headers["Access-Control-Allow-Headers"]
    answer = requests.post(server.url(), data=nd([IMAGE]), headers=JSON | origin, timeout=10)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


MESSAGE = {"data": {"ndarray": [[0] * 784]}}
FORMS = {  # as stock Seldon takes them, and its own client sends them
    "urlencoded json": {"data": {"json": json.dumps(MESSAGE)}},
    "multipart json": {"files": {"json": (None, json.dumps(MESSAGE))}},
    "multipart data": {"files": {"data": (None, json.dumps(MESSAGE["data"]))}},
    "multipart binData as a file": {"files": {"binData": ("digit", bytes(784))}},
    "multipart binData as base64": {"files": {"binData": (None, base64.b64encode(bytes(784)).decode())}},
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_that_stock_seldon_takes_are_answered(server, name):
    answer = requests.post(server.url(), timeout=10, **FORMS[name])
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"]["ndarray"] == ask(server, MESSAGE).json()["data"]["ndarray"]


@pytest.mark.parametrize(
    "encode",
    [base64.encodebytes, base64.urlsafe_b64encode, lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"=")],
    ids=["wrapped", "URL-safe", "URL-safe, not padded"],
)
def test_base64_of_other_encoders_is_read(server, digits, encode):
    pixels = b"".join(bytes(digit["inputs"]) for digit in digits)
    answer = ask(server, {"binData": encode(pixels).decode()})
    assert answer.status_code == 200, answer.text
    assert close(answer.json()["data"]["ndarray"], [digit["outputs"] for digit in digits])


def test_a_body_in_chunks_is_answered(server):
    body = json.dumps({"data": {"ndarray": [[0] * 784]}}).encode()
    chunks = iter([body[:100], body[100:]])
    assert requests.post(server.url(), data=chunks, headers=JSON, timeout=10).status_code == 200
