"""No caller can stop the server for the others: strangers send the worst they can, and probes are still answered.

`python tests/machinery/test_serving_strangers.py URL PID` prints a table of it for a server that runs already, such as
an earlier release's. Every wait is bounded, and only this machine is asked.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from serving_server import IMAGE, JSON, PREDICT, nd, serve

LONGEST = 60.0  # seconds that anybody waits for anything here
PROBES = 20
MANY, DEEP = [1_000_000] * 930_000, [1] * 63 + [784]  # shapes of a tensor
PROBE = 1.0  # seconds in which a probe must be answered: Kubernetes gives it three


class Target:
    """A server as a stranger sees it."""

    def __init__(self, host: str, port: int, pid: int):
        self.host, self.port, self.pid = host, port, pid

    def ask(self, body, path: str = PREDICT, method: str = "POST", timeout: float = LONGEST, **headers: str):
        """Status, content and seconds; status 0 when no answer came in time."""
        began = time.monotonic()
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request(method, path, body, JSON | headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), time.monotonic() - began
        except (OSError, http.client.HTTPException):
            return 0, b"", time.monotonic() - began
        finally:
            connection.close()

    def probes(self, count: int = PROBES, timeout: float = 3.0) -> list[float]:
        """Seconds of each probe of /health/ping on a new connection; infinity for one without an answer."""
        found = []
        for _ in range(count):
            status, _, seconds = self.ask("", "/health/ping", "GET", timeout)
            found.append(seconds if status == 200 else float("inf"))
            if found[-3:] == [float("inf")] * 3:  # there is no need to wait for all of them
                return found + [float("inf")] * (count - len(found))
        return found

    def connect(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=LONGEST)


def head(length: int, path: str = PREDICT) -> bytes:
    lines = (f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {length}", "", "")
    return "\r\n".join(lines).encode()


def told(probes: list[float]) -> str:
    answered = [seconds for seconds in probes if seconds < float("inf")]
    return f"{len(answered)} of {len(probes)} probes answered, the slowest in {max(answered, default=0):.2f} s"


def one_tensor(target: Target, shape: list[int]) -> tuple[int, float, list[float]]:
    """A tensor of this shape, and probes meanwhile."""
    body = json.dumps({"data": {"tensor": {"shape": shape, "values": IMAGE}}})
    found = {}
    asking = threading.Thread(target=lambda: found.update(answer=target.ask(body)), daemon=True)
    asking.start()
    time.sleep(0.2)
    probes = target.probes()
    asking.join(LONGEST)
    status, _, seconds = found.get("answer", (0, b"", LONGEST))
    return status, seconds, probes


def silent_connections(target: Target, count: int = 50) -> list[float]:
    with contextlib.ExitStack() as held:
        for _ in range(count):
            held.enter_context(target.connect())
        time.sleep(0.5)
        return target.probes()


def half_bodies(target: Target, count: int = 200, size: int = 100_000) -> list[float]:
    with contextlib.ExitStack() as held:
        for _ in range(count):
            connection = held.enter_context(target.connect())
            connection.sendall(head(size) + b" " * 30_000)
        time.sleep(0.5)
        return target.probes()


def unread_answers(target: Target, size: int = 40_000, seconds: float = 5.0) -> list[float]:
    """Callers ask on and on, read nothing, and have their tags sent back."""
    tags = {"x": "y" * size}
    body = json.dumps({"data": {"ndarray": [IMAGE]}, "meta": {"tags": tags}}).encode()
    with contextlib.ExitStack() as held:
        for _ in range(4):
            connection = held.enter_context(target.connect())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(0.2)
            end = time.monotonic() + seconds / 4
            with contextlib.suppress(OSError):
                while time.monotonic() < end:
                    connection.sendall(head(len(body)) + body)
        return target.probes()


def long_feedback(target: Target) -> tuple[int, float, list[float]]:
    body = json.dumps({"reward": 1, "request": {"data": {"ndarray": [IMAGE] * 850}}})  # 2 MB
    status, _, seconds = target.ask(body, "/api/v1.0/feedback")
    return status, seconds, target.probes(5)


def deep_tags(target: Target) -> int:
    tags = '{"a":' * 260 + "1" + "}" * 260
    return target.ask(f'{{"data": {{"ndarray": [{IMAGE}]}}, "meta": {{"tags": {tags}}}}}')[0]


def crowd(target: Target, callers: int = 200, seconds: float = 8.0) -> tuple[list[float], dict[int, int]]:
    """Callers that send batches of 512, without pause for so long; the probes meanwhile and what the callers got."""
    body = nd([IMAGE] * 512)
    end, seen, lock = time.monotonic() + seconds, {}, threading.Lock()

    def call():
        while time.monotonic() < end:
            status, *_ = target.ask(body, timeout=20)
            with lock:
                seen[status] = seen.get(status, 0) + 1
            if status != 200:
                time.sleep(1)  # as Retry-After says

    threads = [threading.Thread(target=call, daemon=True) for _ in range(callers)]
    for thread in threads:
        thread.start()
    time.sleep(2)
    probes = target.probes(10)
    for thread in threads:
        thread.join(LONGEST)
    return probes, seen


def stop_with_silent_connection(target: Target) -> float:
    """Seconds that SIGTERM takes, with a connection that says nothing."""
    with target.connect():
        began = time.monotonic()
        os.kill(target.pid, signal.SIGTERM)
        while alive(target.pid) and time.monotonic() - began < LONGEST:
            time.sleep(0.05)
        return time.monotonic() - began


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def server(bundle, serving_python):
    with serve(bundle, serving_python) as running:
        yield running


@pytest.fixture
def target(server):
    yield Target("127.0.0.1", server.port, server.process.pid)
    assert max(Target("127.0.0.1", server.port, 0).probes(3)) < PROBE  # afterwards all is as before


@pytest.mark.parametrize("shape", [MANY, DEEP, [2**40] * 8], ids=["930,000 numbers", "64", "huge"])
def test_a_tensor_of_many_dimensions_is_refused_at_once(target, shape):
    status, seconds, probes = one_tensor(target, shape)
    assert status == 400
    assert seconds < 5
    assert max(probes) < PROBE, told(probes)


def test_connections_that_say_nothing_hold_up_nobody(target):
    assert max(probes := silent_connections(target)) < PROBE, told(probes)


@pytest.mark.parametrize("size", [1_000 + 30_000, 100_000, 8 * 2**20])
def test_callers_that_send_half_a_body_hold_up_nobody(target, size):
    assert max(probes := half_bodies(target, size=size)) < PROBE, told(probes)
    status, *_ = target.ask(nd([IMAGE]))
    assert status == 200  # a new caller, too


@pytest.mark.parametrize("size", [15_000, 40_000])
def test_callers_that_read_no_answer_hold_up_nobody(target, size):
    assert max(probes := unread_answers(target, size)) < PROBE, told(probes)


def test_long_feedback_is_refused_at_once(target):
    status, seconds, probes = long_feedback(target)
    assert status == 413
    assert seconds < 2
    assert max(probes) < PROBE, told(probes)


PART = b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n"
MANY_FIELDS = {
    "multipart/form-data; boundary=x": PART * 150_000 + b"--x--\r\n",
    "application/x-www-form-urlencoded": b"a=&" * 2_700_000,
}


@pytest.mark.parametrize("kind", MANY_FIELDS)
def test_a_form_of_many_fields_is_refused_at_once(target, kind):
    status, content, seconds = target.ask(MANY_FIELDS[kind], **{"Content-Type": kind})
    assert status == 413 and b"16 fields" in content
    assert seconds < 2


def test_deep_tags_are_refused(target):
    assert deep_tags(target) == 400


def test_long_tags_are_refused(target):
    status, content, _ = target.ask(json.dumps({"meta": {"tags": {"x": "y" * 40_000}}, "data": {"ndarray": [IMAGE]}}))
    assert status == 413
    assert "16 KiB" in json.loads(content)["status"]["info"]


def test_a_crowd_with_large_batches_is_told_to_come_again_and_probes_are_answered(target):
    probes, seen = crowd(target)
    assert max(probes) < 3 * PROBE, told(probes)
    assert set(seen) <= {200, 503} and seen[200] > 0, seen


def test_an_endless_head_is_cut(target):
    """Headers without end would fill the memory."""
    sent = 0
    with target.connect() as connection, contextlib.suppress(OSError):
        connection.sendall(b"GET /health/ping HTTP/1.1\r\n")
        for number in range(2000):
            connection.sendall(b"x-%d: " % number + b"y" * 10_000 + b"\r\n")
            sent += 10_000
    assert sent < 10_000_000


def test_sigterm_with_a_silent_connection_takes_seconds(bundle, serving_python):
    with serve(bundle, serving_python) as server:
        assert stop_with_silent_connection(Target("127.0.0.1", server.port, server.process.pid)) < 5


@pytest.mark.parametrize(
    "sent", [b"", b"GET /health/pi", head(900), head(900) + b"{"], ids=["nothing", "line", "head", "body"]
)
def test_a_request_that_does_not_arrive_is_given_up(target, sent):
    with target.connect() as connection:
        connection.sendall(sent)
        began = time.monotonic()
        answer = connection.recv(65536)
    assert answer.split()[1] == b"400" and b"within 20 s" in answer
    assert time.monotonic() - began < 30


def table(target: Target) -> None:
    """Print what a stranger does and what comes of it; the last row ends the server."""
    for name, shape in (("930,000 dimensions", MANY), ("64 dimensions", DEEP)):
        status, seconds, probes = one_tensor(target, shape)
        print(f"| a tensor of {name} | {status or 'no answer'} in {seconds:.1f} s; {told(probes)} |", flush=True)
        wait_until_well(target)
    rows = {
        "50 connections that say nothing": silent_connections,
        "200 callers that send half a body": half_bodies,
        "callers that read no answer": unread_answers,
    }
    for name, act in rows.items():
        print(f"| {name} | {told(act(target))} |", flush=True)
        wait_until_well(target)
    status, seconds, probes = long_feedback(target)
    print(f"| feedback of 2 MB | {status or 'no answer'} in {seconds:.1f} s; {told(probes)} |", flush=True)
    print(f"| tags nested 260 deep | {deep_tags(target)} |", flush=True)
    probes, seen = crowd(target)
    print(f"| 200 callers with batches of 512 | {told(probes)}; callers got {seen} |", flush=True)
    wait_until_well(target)
    print(f"| SIGTERM with a silent connection | {stop_with_silent_connection(target):.1f} s |", flush=True)


def wait_until_well(target: Target) -> None:
    end = time.monotonic() + 90
    while max(target.probes(3, 1)) > PROBE and time.monotonic() < end:
        time.sleep(1)


if __name__ == "__main__":
    parts = urlsplit(sys.argv[1])
    table(Target(parts.hostname, parts.port, int(sys.argv[2])))
