"""uvicorn, with limits on requests that do not arrive, and an end that loses no request."""

import asyncio
import contextlib
import math
import signal
import socket
import time

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from . import limits
from .application import Application


class Connection(HttpToolsProtocol):
    """A connection that ends when the head of a request is too long, or a request does not arrive in time.

    asyncio calls the first two methods, the parser httptools the next three.
    """

    head_bytes: float

    def connection_made(self, transport) -> None:
        super().connection_made(transport)
        self.late = self._expect_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.head_bytes += len(data)
        if self.head_bytes > limits.HEAD_BYTES:
            self._end(f"The head of the request is over {limits.HEAD_BYTES // 1024} KiB.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.late.cancel()
        self.late = self._expect_request()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.head_bytes = -math.inf  # the bytes that follow are no head

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.late.cancel()

    def _expect_request(self) -> asyncio.TimerHandle:
        self.head_bytes = 0
        reason = f"The request did not arrive within {limits.ARRIVAL_SECONDS} s."
        return self.loop.call_later(limits.ARRIVAL_SECONDS, self._end, reason)

    def _end(self, reason: str) -> None:
        if not self.transport.is_closing():
            self.send_400_response(reason)


async def serve(application: Application, listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT, and until every request is answered."""
    server = uvicorn.Server(
        uvicorn.Config(
            application, http=Connection, ws="none", lifespan="off", log_level="warning", access_log=False,
            server_header=False, proxy_headers=False, timeout_keep_alive=limits.IDLE_SECONDS,
            timeout_graceful_shutdown=limits.GRACE_SECONDS,
        )
    )  # fmt: skip
    stopped = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve([listener]))
        await asyncio.sleep(0)  # uvicorn sets its handlers of signals, which do not drain: these take their place
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        while not server.started:
            await asyncio.sleep(0.01)
        await stopped.wait()
        application.closing = True
        await _drain(server, listener)
        server.should_exit = True


async def _drain(server: uvicorn.Server, listener: socket.socket) -> None:
    """Wait until callers have been told that their connection closes: a request on a closed one would be lost."""
    await _wait_for_connections(server, limits.LINGER_SECONDS)
    callers = []
    with contextlib.suppress(BlockingIOError):
        while True:  # without a pause: none of them is answered meanwhile, so that the queue ends
            callers.append(listener.accept()[0])
    server.servers[0].close()
    for caller in callers:
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: Connection(server.config, server.server_state, {}), caller
        )
    await _wait_for_connections(server, limits.LATE_SECONDS)


async def _wait_for_connections(server: uvicorn.Server, seconds: float) -> None:
    """Wait until all connections are closed, for at most so long."""
    end = time.monotonic() + seconds
    while server.server_state.connections and time.monotonic() < end:
        await asyncio.sleep(0.01)
