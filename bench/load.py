"""A load generator: callers on kept connections, in one process that costs little beside the server.

Python's HTTP clients take longer for a request than the server does; this one sends bytes made beforehand and reads
what comes back no further than it must.
"""

import contextlib
import selectors
import socket
import statistics
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

PATIENCE = 60.0  # seconds that an answer is awaited


@dataclass
class Result:
    """Answers, how long they took in all (seconds), and how long each did (milliseconds, sorted)."""

    times: list[float]
    took: float
    failed: int

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.times) / self.took

    @property
    def median(self) -> float:
        return statistics.median(self.times)

    @property
    def slowest(self) -> float:
        """The 99th percentile."""
        return self.times[int(len(self.times) * 0.99)]


@dataclass
class _Caller:
    port: int
    request: bytes
    selector: selectors.BaseSelector
    times: list = field(default_factory=list)
    failed: int = 0
    whole: int | None = None  # bytes of the answer that is awaited, once its headers have said it

    def connect(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.selector.register(self.socket, selectors.EVENT_READ, self)

    def ask(self, due: float | None = None) -> None:
        """Send the request; its time counts from when it was due."""
        self.answer, self.whole, self.began = b"", None, due or time.perf_counter()
        self.socket.sendall(self.request)

    def read(self) -> bool:
        """Read what has come; return whether the answer is over."""
        data = self.socket.recv(1 << 18)
        self.answer += data
        if self.whole is None and (end := self.answer.find(b"\r\n\r\n")) >= 0:
            headers = self.answer[:end].lower()
            self.whole = end + 4 + int(headers.split(b"content-length:")[1].split(b"\r\n")[0])
            self.closes = b"connection: close" in headers
        finished = self.whole is not None and len(self.answer) >= self.whole
        if finished:
            self.times.append((time.perf_counter() - self.began) * 1000)
            self.failed += self.answer[9:12] != b"200"
        if not data or (finished and self.closes):
            self.failed += not finished
            self.selector.unregister(self.socket)
            self.socket.close()
            self.connect()
        return finished or not data


def as_request(port: int, path: str, body: bytes, content_type: str = "application/json") -> bytes:
    """A POST as the bytes of HTTP/1.1."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {content_type}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@contextlib.contextmanager
def _callers(port: int, request: bytes, count: int) -> Iterator[tuple[selectors.BaseSelector, list[_Caller]]]:
    with selectors.DefaultSelector() as selector:
        callers = [_Caller(port, request, selector) for _ in range(count)]
        for caller in callers:
            caller.connect()
        try:
            yield selector, callers
        finally:
            for caller in callers:
                caller.socket.close()


def _result(callers: list[_Caller], took: float) -> Result:
    times = sorted(value for caller in callers for value in caller.times)
    if not times:
        raise RuntimeError(f"port {callers[0].port} gave no answer in {took:.1f} s")
    return Result(times, took, sum(caller.failed for caller in callers))


def ask_for(port: int, request: bytes, seconds: float, connections: int = 1) -> Result:
    """Ask as fast as the answers come, for so long and for one answer at least, on so many connections."""
    with _callers(port, request, connections) as (selector, callers):
        for caller in callers:
            caller.ask()
        began = time.perf_counter()
        while (passed := time.perf_counter() - began) < seconds or (
            passed < PATIENCE and not any(caller.times for caller in callers)
        ):
            for key, _ in selector.select(1):
                if key.data.read():
                    key.data.ask()
        return _result(callers, time.perf_counter() - began)


def ask_at(port: int, rate: float, request: bytes, seconds: float, connections: int = 32) -> Result:
    """Ask `rate` times a second, whether the server keeps up or not, for so long; then await the last answers."""
    with _callers(port, request, connections) as (selector, callers):
        free, began = deque(callers), time.perf_counter()
        due, end, given_up = began, began + seconds, began + 2 * seconds + 5
        while (due < end or len(free) < connections) and (now := time.perf_counter()) < given_up:
            while free and due <= now and due < end:
                free.popleft().ask(due)
                due += 1 / rate
            for key, _ in selector.select(max(due - now, 0) if free and due < end else 0.1):
                if key.data.read():
                    free.append(key.data)
        return _result(callers, time.perf_counter() - began)
