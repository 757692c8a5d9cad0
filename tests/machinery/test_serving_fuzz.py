"""Any request at all, over HTTP: never a 5xx, never anything but Seldon's JSON, and the next one is answered.

FUZZ_EXAMPLES sets how many are made up (2,000 unless set; 10,000 before a release).
"""

import base64
import copy
import json
import os

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving_server import PREDICT, answers_right, serve

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2000"))
settings.register_profile(
    "server",
    max_examples=EXAMPLES // 4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

numbers = st.one_of(
    st.integers(), st.floats(), st.integers(0, 255), st.sampled_from([256, -1, 255.5, 1e300, 2**64, 1e-320])
)
scalars = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=20))
NAMES = [
    "data",
    "ndarray",
    "tensor",
    "shape",
    "values",
    "binData",
    "meta",
    "tags",
    "puid",
    "names",
    "strData",
    "jsonData",
]
keys = st.one_of(st.sampled_from(NAMES), st.text(max_size=5))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=4), max_leaves=30
)

SEEDS = [
    {"data": {"ndarray": [[0] * 784]}},
    {"data": {"ndarray": [[[[0]] * 28] * 28]}},
    {"data": {"ndarray": [[0] * 28] * 28}, "meta": {"puid": "a", "tags": {"b": 1}}},
    {"data": {"names": [], "tensor": {"shape": [1, 1, 28, 28], "values": [255] * 784}}},
    {"binData": base64.b64encode(bytes(784)).decode()},
]


def paths(value, here=()):
    """Where something can be changed: the way to each value (of long lists, only to the first and the last)."""
    yield here
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*here, key))
    elif isinstance(value, list):
        for index in {0, len(value) - 1} & set(range(len(value))):
            yield from paths(value[index], (*here, index))


@st.composite
def almost_right(draw):
    """A good message with one to three things replaced, doubled or taken away."""
    message = copy.deepcopy(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 3))):
        way = draw(st.sampled_from([way for way in paths(message) if way] or [()]))
        if not way:
            return draw(values)
        holder = message
        for step in way[:-1]:
            holder = holder[step]
        change = draw(st.sampled_from(["replace", "remove", "double"]))
        if change == "replace":
            holder[way[-1]] = draw(values)
        elif change == "remove":
            del holder[way[-1]]
        elif isinstance(holder, list):
            holder.append(copy.deepcopy(holder[way[-1]]))
        else:
            holder[draw(keys)] = copy.deepcopy(holder[way[-1]])
    return message


@pytest.fixture(scope="module")
def server(bundle, serving_python):
    with serve(bundle, serving_python) as running:
        running.session = requests.Session()
        yield running
        assert answers_right(running)


def must_hold(server, body: bytes, kind="application/json", path=PREDICT, method="POST"):
    headers = {"Content-Type": kind} if kind is not None else {}
    answer = server.session.request(method, server.url(path), data=body, headers=headers, timeout=20)
    assert answer.status_code < 500, (answer.status_code, answer.text[:500])
    if path == PREDICT and method == "POST":
        if answer.status_code == 200:
            found = json.loads(answer.text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))["data"]
            given = found["ndarray"][0] if "ndarray" in found else found["tensor"]["values"][:10]
            assert abs(sum(given) - 1) < 1e-3
        else:
            status = answer.json()["status"]
            assert status["code"] == answer.status_code
            assert status["info"]


@settings(settings.get_profile("server"))
@given(message=almost_right())
def test_messages_that_are_almost_right(server, message):
    must_hold(server, json.dumps(message).encode())


@settings(settings.get_profile("server"))
@given(message=values)
def test_any_json(server, message):
    must_hold(server, json.dumps(message).encode())


@settings(settings.get_profile("server"))
@given(
    body=st.one_of(st.binary(max_size=300), st.sampled_from(SEEDS).map(lambda seed: json.dumps(seed).encode())),
    at=st.integers(0, 2000),
    piece=st.binary(max_size=8),
    cut=st.booleans(),
)
def test_any_bytes_and_good_messages_with_bytes_in_them(server, body, at, piece, cut):
    must_hold(server, body[:at] + piece + (b"" if cut else body[at:]))


TYPES = [
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=b",
    "text/plain",
    "application/json; charset=utf-7",
    "application/JSON",
    "*/*",
    "",
]
PATHS = [
    PREDICT,
    "/predict",
    "/api/v0.1/predictions",
    "/api/v1.0/feedback",
    "/send-feedback",
    "/transform-input",
    "/route",
    "/aggregate",
    "/health/status",
    "/health/ping",
    "/metadata",
    "/seldon.json",
    "/",
    "/x?json={",
    "/predict?json=7",
]


@settings(settings.get_profile("server"))
@given(
    message=st.one_of(values, almost_right()),
    kind=st.sampled_from(TYPES),
    path=st.sampled_from(PATHS),
    method=st.sampled_from(["POST", "GET", "PUT", "DELETE", "OPTIONS", "PATCH"]),
    form=st.booleans(),
)
def test_any_path_method_and_type(server, message, kind, path, method, form):
    body = json.dumps(message).encode()
    must_hold(server, b"json=" + body if form else body, kind, path, method)
