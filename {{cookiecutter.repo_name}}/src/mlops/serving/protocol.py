"""uvicorn's HTTP protocol with two limits that it lacks: how long the head of a request is, and how long one takes."""

import asyncio
import time
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .limits import ARRIVAL_SECONDS, HEAD_BYTES


class Protocol(HttpToolsProtocol):
    """A connection. Headers without end would fill the memory; half requests would be kept for ever."""

    def connection_made(self, transport) -> None:
        super().connection_made(transport)
        self._in_head, self._head_bytes = False, 0
        self.arriving_since: float | None = time.monotonic()  # None while no request is on its way

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes, self.arriving_since = True, 0, time.monotonic()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._in_head = False

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.arriving_since = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._head_bytes += len(data)
        if self._in_head and self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The head of the request is over {HEAD_BYTES // 1024} KiB.")


async def end_slow_requests(connections: set[Any]) -> None:
    """End connections whose next request does not arrive whole in time."""
    while True:
        await asyncio.sleep(1)
        latest = time.monotonic() - ARRIVAL_SECONDS
        for connection in list(connections):
            since = connection.arriving_since
            if since and since < latest and not connection.transport.is_closing():
                connection.send_400_response(f"The request did not arrive within {ARRIVAL_SECONDS} s.")
