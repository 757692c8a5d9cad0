"""gRPC, which GRPC_WORKERS=1 turns on: the same answers and refusals, and an end that does not hang."""

import json
import os
import signal
import subprocess
import time

import pytest
from serving_server import answers_right, recorded, serve

CLIENT = """
import json, sys, grpc
from google.protobuf import json_format
from seldon_core.proto import prediction_pb2, prediction_pb2_grpc
channel = grpc.insecure_channel(sys.argv[1])
grpc.channel_ready_future(channel).result(timeout=20)
seldon = prediction_pb2_grpc.SeldonStub(channel)
found = []
for message in json.load(sys.stdin):
    try:
        answer = seldon.Predict(json_format.ParseDict(message, prediction_pb2.SeldonMessage()), timeout=10)
        found.append(json_format.MessageToDict(answer))
    except grpc.RpcError as error:
        found.append(error.details())
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def server(bundle, serving_python):
    with serve(bundle, serving_python, GRPC_WORKERS="1") as running:
        yield running


def ask(server, python, *messages):
    done = subprocess.run(
        [python, "-c", CLIENT, f"127.0.0.1:{server.grpc_port}"],
        input=json.dumps(messages),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_grpc_answers_as_rest_does(server, serving_python, bundle):
    digits = recorded(bundle)[:3]
    flat = [pixel for digit in digits for pixel in digit["inputs"]]
    rows = [digit["inputs"] for digit in digits]
    tensor, ndarray = ask(
        server,
        serving_python,
        {"data": {"tensor": {"shape": [3, 784], "values": flat}}, "meta": {"puid": "a"}},
        {"data": {"ndarray": rows}},
    )
    expected = [value for digit in digits for value in digit["outputs"]]
    assert tensor["data"]["tensor"]["values"] == pytest.approx(expected, abs=1e-5)
    assert tensor["data"]["names"] == [str(number) for number in range(10)]
    assert tensor["meta"]["puid"] == "a"
    assert tensor["meta"]["tags"]["run"] == json.loads((bundle / "metadata.json").read_text())["run"]["uuid"]
    found = [value for row in ndarray["data"]["ndarray"] for value in row]
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({}, ""),
        ({"strData": "7"}, "list of numbers"),
        ({"binData": "AAAA"}, "multiple of 784"),
        ({"data": {"tensor": {"shape": [1, 784], "values": [1]}}}, ""),
        ({"data": {"tensor": {"shape": [-1, -784], "values": [0] * 784}}}, ""),
        ({"data": {"tensor": {"shape": [1, 784], "values": ["NaN"] * 784}}}, "from 0 to 255"),
        ({"data": {"tensor": {"shape": [1, 784], "values": [256] * 784}}}, "from 0 to 255"),
        ({"data": {"ndarray": [["x"] * 784]}}, "not a number"),
        ({"data": {"ndarray": [[1], [1, 2]]}}, "inhomogeneous"),
        ({"data": {"ndarray": []}}, "no image"),
    ],
)
def test_grpc_refuses_with_what_is_expected(server, serving_python, message, words):
    (found,) = ask(server, serving_python, message)
    assert isinstance(found, str), found
    assert words in found
    assert answers_right(server)


def test_sigterm_ends_grpc_and_rest(bundle, serving_python):
    with serve(bundle, serving_python, GRPC_WORKERS="2") as server:
        ask(server, serving_python, {"binData": ""})
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=120) == 0
        end = time.monotonic() + 20
        while session(server.process.pid) and time.monotonic() < end:
            time.sleep(0.05)
        assert session(server.process.pid) == []


def session(leader: int) -> list:
    """The processes that are left of a server's session."""
    done = subprocess.run(["ps", "-o", "pid=", "-s", str(leader)], capture_output=True, text=True)
    return [int(pid) for pid in done.stdout.split() if int(pid) != os.getpid()]
