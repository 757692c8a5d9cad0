"""uvicorn, with limits on requests that do not arrive, and an end that loses no request."""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from . import limits


class Connection(HttpToolsProtocol):
    """A connection. A head without end would fill the memory; half requests would be kept for ever."""

    def connection_made(self, transport) -> None:
        super().connection_made(transport)
        self.head_bytes: float = 0
        self.late = self._end_later()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.head_bytes = 0
        self.late.cancel()
        self.late = self._end_later()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.head_bytes = -math.inf  # what comes now is no head

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.late.cancel()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.head_bytes += len(data)
        if self.head_bytes > limits.HEAD_BYTES:
            self._end(f"The head of the request is over {limits.HEAD_BYTES // 1024} KiB.")

    def _end_later(self) -> asyncio.TimerHandle:
        reason = f"The request did not arrive within {limits.ARRIVAL_SECONDS} s."
        return self.loop.call_later(limits.ARRIVAL_SECONDS, self._end, reason)

    def _end(self, reason: str) -> None:
        if not self.transport.is_closing():
            self.send_400_response(reason)


class Server(uvicorn.Server):
    """Calls `ready` once it answers, and serves until SIGTERM or SIGINT, and until every request is answered."""

    def __init__(self, application: Any, ready: Callable[[], None]) -> None:
        self.application, self.ready = application, ready
        super().__init__(
            uvicorn.Config(
                application, http=Connection, ws="none", lifespan="off", log_level="warning", access_log=False,
                server_header=False, proxy_headers=False, timeout_keep_alive=limits.IDLE_SECONDS,
                timeout_graceful_shutdown=limits.GRACE_SECONDS,
            )
        )  # fmt: skip

    def handle_exit(self, sig, frame) -> None:
        self.should_exit = True  # uvicorn's own also raises the signal again, and the exit code would be no 0

    async def startup(self, sockets=None) -> None:
        await super().startup(sockets)
        self.ready()

    async def shutdown(self, sockets=None) -> None:
        """Tell each caller that its connection closes, before it does: a request on a closed one would be lost."""
        (listener,) = sockets
        self.application.closing = True
        await self._wait_for_connections(limits.LINGER_SECONDS)
        with contextlib.suppress(BlockingIOError):
            while True:  # callers that the kernel has accepted already
                caller, _ = listener.accept()
                await asyncio.get_running_loop().connect_accepted_socket(self._connection, caller)
        self.servers[0].close()
        await self._wait_for_connections(limits.LATE_SECONDS)
        await super().shutdown(sockets)

    def _connection(self) -> Connection:
        return Connection(self.config, self.server_state, {})

    async def _wait_for_connections(self, seconds: float) -> None:
        """Wait until all are closed, for so long."""
        end = time.monotonic() + seconds
        while self.server_state.connections and time.monotonic() < end:
            await asyncio.sleep(0.01)
