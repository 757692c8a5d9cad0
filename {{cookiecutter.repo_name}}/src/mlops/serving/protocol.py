"""uvicorn's HTTP protocol with a limit that it lacks: headers without end would fill the memory."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .limits import HEAD_BYTES


class Protocol(HttpToolsProtocol):
    _in_head, _head_bytes = False, 0

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._in_head = False

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._head_bytes += len(data)
        if self._in_head and self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The head of the request is over {HEAD_BYTES // 1024} KiB.")
