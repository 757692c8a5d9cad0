"""A load generator: closed-loop callers on kept connections, in one process that costs little beside the server.

Python's HTTP clients take longer for a request than the server does; this one sends bytes made beforehand and reads
what comes back no further than it must.
"""

import selectors
import socket
import statistics
import time
from dataclasses import dataclass, field


@dataclass
class Result:
    """Answers a second, and how long an answer took: median and 99th percentile, in milliseconds."""

    rate: float
    median: float
    slowest: float
    failed: int


@dataclass
class _Caller:
    port: int
    request: bytes
    times: list = field(default_factory=list)
    failed: int = 0
    whole: int | None = None  # bytes of the answer that is awaited, once its headers have said it

    def connect(self, selector) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(self.socket, selectors.EVENT_READ, self)
        self.ask()

    def ask(self) -> None:
        self.answer, self.whole, self.began = b"", None, time.perf_counter()
        self.socket.sendall(self.request)

    def read(self, selector) -> None:
        data = self.socket.recv(1 << 18)
        self.answer += data
        if self.whole is None and (end := self.answer.find(b"\r\n\r\n")) >= 0:
            headers = self.answer[:end].lower()
            self.whole = end + 4 + int(headers.split(b"content-length:")[1].split(b"\r\n")[0])
            self.closes = b"connection: close" in headers
        finished = self.whole is not None and len(self.answer) >= self.whole
        if finished:
            self.times.append(time.perf_counter() - self.began)
            self.failed += self.answer[9:12] != b"200"
        if not data or (finished and self.closes):
            self.failed += not finished
            selector.unregister(self.socket)
            self.socket.close()
            self.connect(selector)
        elif finished:
            self.ask()


def as_request(port: int, path: str, body: bytes, content_type: str = "application/json") -> bytes:
    """A POST as the bytes of HTTP/1.1."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {content_type}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def ask_for(port: int, request: bytes, seconds: float, connections: int = 1) -> Result:
    """Ask as fast as the answers come, for so long, on so many connections."""
    callers = [_Caller(port, request) for _ in range(connections)]
    with selectors.DefaultSelector() as selector:
        for caller in callers:
            caller.connect(selector)
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            for key, _ in selector.select(1):
                key.data.read(selector)
        took = time.perf_counter() - began
        for caller in callers:
            caller.socket.close()
    times = sorted(value * 1000 for caller in callers for value in caller.times)
    if not times:
        raise RuntimeError(f"port {port} gave no answer in {seconds} s")
    failed = sum(caller.failed for caller in callers)
    return Result(len(times) / took, statistics.median(times), times[int(len(times) * 0.99)], failed)
