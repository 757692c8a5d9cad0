"""The wrapper's server, tuned: a stop loses no request, workers share the connections, and it needs no disk."""

import atexit
import contextlib
import ctypes
import logging
import multiprocessing
import os
import re
import select
import selectors
import signal
import socket
import struct
import sys
import tempfile
import time
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import seldon_core.microservice
import seldon_core.wrapper
from gunicorn.workers import gthread
from seldon_core.gunicorn_utils import StandaloneApplication
from seldon_core.metrics import SeldonMetrics

from .bundle_files import HOST_VARIABLE
from .metrics import RECORDER, PageMetrics

logger = logging.getLogger(__name__)

PATIENCE = 0.02  # seconds for which a worker leaves a new connection to one with fewer
# Bytes of a request that a worker's main thread may answer itself: some 25 digits, which take two milliseconds. With
# a model that takes much longer for them, set it to 0, or health checks and other callers wait for their turn.
SHORT = 64 * 1024
LINGER = 2.0  # seconds for which a connection that was promised to stay open does, when the server stops
HEAR = 2.0  # seconds in which gunicorn's master, told to stop together with its workers, has heard of it


class DrainingWorker(gthread.ThreadWorker):
    """gunicorn's threaded worker, which on SIGTERM answers every connection that the system has accepted for it.

    The stock one leaves the connections that wait in the listening socket's queue to be reset, closes a connection
    right after an answer that promised to keep it open, and forgets a request that it read ahead. With several
    workers, this one also sees to it that each gets its share of the connections, which callers keep for long. And it
    answers short requests where it notices them: to hand one to a thread and back costs half as much as to answer it.
    """

    sockets: list  # gunicorn's, which the server listens on
    left_since: float | None = None  # when this worker first left a connection, that still waits, to another

    def init_process(self):
        RECORDER.deferred = True
        super().init_process()

    def murder_keepalived(self):
        super().murder_keepalived()
        RECORDER.hold(self.nr_conns)  # here, because it is called in every round

    def accept(self, listener):
        """Leave a connection to a worker with fewer: the one that wakes first would else take all that come at once."""
        if self.alive and RECORDER.holds_most(self.nr_conns):
            now = time.monotonic()
            self.left_since = self.left_since or now
            if now - self.left_since < PATIENCE:
                time.sleep(0.0005)
                return
        self.left_since = None
        super().accept(listener)
        RECORDER.hold(self.nr_conns)

    def on_client_socket_readable(self, conn, client):
        """Answer here what is short and has arrived whole. All else may have to be waited for, which threads do."""
        if not self.alive or self.cfg.is_ssl or not _short_and_whole(client):
            super().on_client_socket_readable(conn, client)
            return
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        answered: Future = Future()
        answered.set_result(self.handle(conn))
        self.finish_request(conn, answered)

    def set_accept_enabled(self, enabled):
        if self.alive or enabled:
            super().set_accept_enabled(enabled)
        else:
            closed = self._wait_for_master()
            super().set_accept_enabled(False)
            self._drain(closed)

    def _wait_for_master(self) -> list:
        """The sockets that gunicorn's master has given up, because the server stops: none when this worker alone does.

        It closes them before it tells the workers. When all were told at once it may get to it later: until it has,
        this worker goes on. Without /proc there are none, and the worker ends as the stock one does.
        """
        end = time.monotonic() + HEAR
        while (held := _open_files(os.getppid())) is not None:
            closed = [one for one in self.sockets if f"socket:[{os.fstat(one.fileno()).st_ino}]" not in held]
            if len(closed) == len(self.sockets) or time.monotonic() > end:
                return closed
            self.notify()
            self.wait_for_and_dispatch_events(0.02)
        return []

    def _drain(self, listeners: list) -> None:
        """Stop: let no connection into these sockets any more, and take those that are in."""
        for listener in listeners:
            _refuse_connections(listener)
        if listeners:
            time.sleep(0.05)  # for those that were half-way in
        for listener in listeners:
            while select.select([listener], [], [], 0)[0]:
                self.accept(listener)
            listener.close()
        self.sockets = [listener for listener in self.sockets if listener not in listeners]
        for conn in self.keepalived_conns:
            conn.timeout = min(conn.timeout, time.monotonic() + LINGER)

    def wait_for_and_dispatch_events(self, timeout):
        if not self.poller.select(0):
            RECORDER.flush()  # a quiet moment: nobody waits for an answer
        # Stopping, the stock worker would sleep through the end of connections that say nothing.
        super().wait_for_and_dispatch_events(timeout if self.alive else min(timeout, 0.1))

    def finish_request(self, conn, fs):
        goes_on = not fs.cancelled() and not fs.exception() and fs.result()
        if goes_on and conn.parser.unreader.buf.getvalue():
            # The next request is read already, with the rest of a body that nobody wanted: the socket will not tell.
            self.enqueue_req(conn)
        elif goes_on and not self.alive:
            # Its caller was told that the connection stays open: the next request on it will be told otherwise.
            conn.sock.setblocking(False)
            conn.timeout = time.monotonic() + LINGER
            self.keepalived_conns.append(conn)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_client_socket_readable, conn))
        else:
            super().finish_request(conn, fs)


def _short_and_whole(client) -> bool:
    """Whether a whole request lies in this socket, no longer than SHORT, and there is room for its answer.

    A look ahead that only chooses the thread: gunicorn reads the request again, and refuses what is ambiguous.
    """
    try:
        head, _, body = client.recv(SHORT, socket.MSG_PEEK).partition(b"\r\n\r\n")
    except OSError:
        return False
    length = re.search(rb"\r\ncontent-length: *(\d{1,9})(?:\r|$)", head, re.IGNORECASE)
    if not length or len(body) < int(length[1]):
        return False
    room = select.poll()
    room.register(client, select.POLLOUT)
    return bool(room.poll(0))


def _open_files(pid: int) -> set[str] | None:
    """What a process holds open, as /proc names it; None where that cannot be looked at."""
    held = set()
    try:
        for file in Path("/proc", str(pid), "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed while we look
                held.add(os.readlink(file))
    except OSError:
        return None
    return held


def _refuse_connections(listener) -> None:
    """Let no new connection into a listening socket (Linux): drop the packets that ask for one.

    A socket filter in the kernel's classic BPF, which needs no privilege: byte 13 of the TCP header holds the flags,
    2 is SYN. Callers try again a second later, and are then refused because the socket is closed.
    """
    load_byte, jump_if_set, answer = 0x30, 0x45, 0x06
    steps = [(load_byte, 0, 0, 13), (jump_if_set, 0, 1, 2), (answer, 0, 0, 0), (answer, 0, 0, 0xFFFFFFFF)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    attach_filter = 26  # SO_ATTACH_FILTER, which the socket module does not name
    try:
        listener.setsockopt(socket.SOL_SOCKET, attach_filter, struct.pack("HP", len(steps), ctypes.addressof(code)))
    except OSError as error:
        logger.warning("Connections may be lost while the server stops: %s", error)


def _end_grpc(started_by: int) -> None:
    """The REST server has ended: end gRPC too, for which the wrapper would wait for ever."""
    if os.getpid() == started_by:  # and not in a worker, which inherits this
        for child in multiprocessing.active_children():
            child.terminate()


def end_with_parent() -> None:
    """End this gRPC worker when the process that started it has ended: SIGINT is what the wrapper listens to."""
    if parent := multiprocessing.parent_process():
        parent.join()
    os.kill(os.getpid(), signal.SIGINT)


def _listen_on(host: str) -> None:
    """Serve and show metrics at this address alone: the wrapper's own are all that the machine has."""
    stock = StandaloneApplication.load_config

    def load_config(application) -> None:
        application.options["bind"] = application.options["bind"].replace("0.0.0.0", host)
        stock(application)

    StandaloneApplication.load_config = load_config


def tune_wrapper() -> None:
    """Make the wrapper hand us a request's bytes, keep metrics in RECORDER, need no disk, and end losing no request.

    Each is a name that is looked up when the server starts, and that must not depend on how it was started.
    The template's test_serving.py and test_serving_faults.py fail when a release no longer looks there.
    """
    if os.access("/dev/shm", os.W_OK):
        tempfile.tempdir = "/dev/shm"  # gunicorn's heartbeat files, in memory: a disk may be full or read-only
    if os.environ.get(HOST_VARIABLE):
        _listen_on(os.environ[HOST_VARIABLE])
    atexit.register(_end_grpc, os.getpid())
    seldon_core.wrapper.PAYLOAD_PASSTHROUGH = True
    gthread.ThreadWorker = DrainingWorker
    modules: tuple[Any, ...] = (seldon_core.microservice, sys.modules["__main__"])
    for module in modules:  # the latter with `python -m seldon_core...`
        if getattr(module, "SeldonMetrics", None) is SeldonMetrics:
            module.SeldonMetrics = PageMetrics
