"""Start the server of a bundle, in the bundle's folder: `python -m mlops.serving`.

It reads the variables of Seldon's wrapper. A port that is 0 is chosen by the system.
"""

import asyncio
import contextlib
import json
import logging
import os
import pkgutil
import signal
import socket
import sys
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

import prometheus_client
import uvicorn
import uvloop

from ..errors import UserError
from . import limits
from .application import THREADS, Application
from .bundle_files import ADDRESS_VARIABLE, HOST_VARIABLE
from .metrics import Measured, Metrics
from .protocol import Protocol, end_slow_requests

logger = logging.getLogger(__name__)
HOST = os.environ.get(HOST_VARIABLE) or "0.0.0.0"
PARAMETERS: dict[str, Callable[[str], Any]] = {
    "INT": int,
    "FLOAT": float,
    "DOUBLE": float,
    "STRING": str,
    "BOOL": lambda text: text.lower() == "true",
}


def main() -> None:
    """Load the model and serve it until SIGTERM."""
    try:
        _set_log_level()
        kind, metrics, quick_bytes = os.environ.get("SERVICE_TYPE", "MODEL"), Metrics(), limits.SHORT_BYTES
        if kind not in ("MODEL", "ROUTER"):
            raise UserError(f"SERVICE_TYPE is {kind}; this server takes MODEL and ROUTER.")
        model = make_model(os.environ.get("MODEL_NAME", ""), os.environ.get("PREDICTIVE_UNIT_PARAMETERS") or "[]")
        if kind == "MODEL":
            model.load()
            quick_bytes = min(quick_bytes, _quick_bytes(model))
            model = Measured(model)
        listener = _listen(_port("HTTP", 9000))
        page, _ = prometheus_client.start_http_server(_port("METRICS", 6000), HOST)
        grpc = _start_grpc(model, metrics) if _number("GRPC_WORKERS", 0) else None
    except (UserError, OSError) as error:
        sys.exit(f"The model cannot be served: {error}")
    addresses = {
        "url": f"http://{HOST}:{listener.getsockname()[1]}",
        "metrics": f"http://{HOST}:{page.server_port}/metrics",
    }
    uvloop.run(serve(Application(model, metrics, kind, quick_bytes), listener, addresses))
    if grpc:
        grpc.stop(limits.GRACE_SECONDS).wait()


def make_model(name: str, parameters: str) -> Any:
    """Return an object of the class `name`; Seldon's parameters are JSON: [{"name", "value", "type"}, ...]."""
    try:
        found = pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"MODEL_NAME={name} cannot be imported: {error}") from None
    try:
        given = {each["name"]: PARAMETERS[each["type"]](each["value"]) for each in json.loads(parameters)}
        return found(**given)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{name} cannot be made with PREDICTIVE_UNIT_PARAMETERS={parameters}: {error}") from None


def _set_log_level() -> None:
    level = os.environ.get("SELDON_LOG_LEVEL", "INFO").upper()
    if level not in logging.getLevelNamesMapping():
        raise UserError(f"SELDON_LOG_LEVEL is {level}; it is one of: {', '.join(logging.getLevelNamesMapping())}.")
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if os.environ.get("TRACING", "0") != "0":
        logger.warning("TRACING is ignored: this server sends no traces.")


def _port(kind: str, default: int) -> int:
    return _number(f"PREDICTIVE_UNIT_{kind}_SERVICE_PORT", default)


def _number(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal():
        raise UserError(f"{name} is {text}; it is a whole number.")
    return int(text)


def _quick_bytes(model: Any) -> int:
    """Return the length of a body whose examples take QUICK_SECONDS, at a byte a value."""
    seconds = min(timeit.repeat(model.health_status, number=1, repeat=5)) / max(len(model.recorded), 1)
    return int(limits.QUICK_SECONDS / seconds * model.schema.inputs.size)


def _listen(port: int) -> socket.socket:
    listener = socket.create_server((HOST, port), backlog=2048)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # in milliseconds: a caller that takes no answer loses its connection
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limits.IDLE_SECONDS * 1000)
    return listener


def _start_grpc(model: Any, metrics: Metrics) -> Any:
    from seldon_core.wrapper import get_grpc_server

    server = get_grpc_server(model, metrics, num_threads=THREADS)
    server.add_insecure_port(f"{HOST}:{_port('GRPC', 5000)}")
    server.start()
    return server


async def serve(application: Application, listener: socket.socket, addresses: dict[str, str]) -> None:
    """Serve until SIGTERM or SIGINT, and until every request is answered."""
    config = uvicorn.Config(
        application, http=Protocol, ws="none", lifespan="off", log_level="warning", access_log=False,
        server_header=False, timeout_keep_alive=limits.IDLE_SECONDS, timeout_graceful_shutdown=limits.GRACE_SECONDS,
    )  # fmt: skip
    server, stop = uvicorn.Server(config), asyncio.Event()
    running = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.005)
    for number in (signal.SIGTERM, signal.SIGINT):  # in place of uvicorn's own, which close idle connections at once
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    slow = asyncio.create_task(end_slow_requests(server.server_state.connections))
    _say(addresses)
    await stop.wait()
    await _drain(application, server, listener)
    server.should_exit = True
    await running
    slow.cancel()


def _say(addresses: dict[str, str]) -> None:
    print(f"Serving at {addresses['url']}, metrics at {addresses['metrics']}", file=sys.stderr, flush=True)
    if name := os.environ.get(ADDRESS_VARIABLE):
        draft = Path(f"{name}.draft")
        draft.write_text(json.dumps(addresses), encoding="utf-8")
        draft.replace(name)  # whole, for whoever waits for it


async def _drain(application: Application, server: uvicorn.Server, listener: socket.socket) -> None:
    """Tell each caller that its connection closes, before it does: a request on a closed one would be lost."""
    application.closing, loop = True, asyncio.get_running_loop()
    connections, end = server.server_state.connections, time.monotonic() + limits.LINGER_SECONDS
    while connections and time.monotonic() < end:
        await asyncio.sleep(0.01)
    late = []
    with contextlib.suppress(BlockingIOError):
        while True:
            late.append(listener.accept()[0])
    server.servers[0].close()
    for caller in late:
        await loop.connect_accepted_socket(lambda: Protocol(server.config, server.server_state, {}), caller)
    await asyncio.sleep(0.1)  # for those that came last to say what they want
    while connections and time.monotonic() < end + 1:
        await asyncio.sleep(0.01)


if __name__ == "__main__":
    main()
