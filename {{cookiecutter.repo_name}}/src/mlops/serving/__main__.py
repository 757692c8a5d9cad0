"""Start the server of a bundle, in the bundle's folder: `python -m mlops.serving`.

The variables are those of Seldon's wrapper. A port that is 0 is chosen by the system; MLOPS_ADDRESS_FILE names a file
that then says which.
"""

import asyncio
import json
import logging
import os
import pkgutil
import select
import signal
import socket
import sys
import time
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

PORT = "PREDICTIVE_UNIT_{}_SERVICE_PORT"
PARAMETERS = {"INT": int, "FLOAT": float, "DOUBLE": float, "STRING": str, "BOOL": lambda value: value.lower() == "true"}
HOST = os.environ.get(HOST_VARIABLE) or "0.0.0.0"


def main() -> None:
    """Load the model and serve it until SIGTERM."""
    try:
        _set_log_level()
        kind = os.environ.get("SERVICE_TYPE", "MODEL")
        if kind not in ("MODEL", "ROUTER"):
            raise UserError(f"SERVICE_TYPE is {kind}; this server takes MODEL or ROUTER.")
        model, metrics = make_model(), Metrics()
        quick_bytes = limits.SHORT_BYTES
        if kind == "MODEL":
            model.load()
            quick_bytes = min(quick_bytes, _quick_bytes(model))
            model = Measured(model)
        application = Application(model, metrics, kind, quick_bytes)
        listener = listen(_number(PORT.format("HTTP"), 9000))
        addresses = {"url": _address(listener.getsockname()[1]), "metrics": f"{_address(_start_metrics())}/metrics"}
        grpc = _start_grpc(model, metrics) if _number("GRPC_WORKERS", 0) else None
    except UserError as error:
        sys.exit(f"The model cannot be served: {error}")
    uvloop.run(serve(application, listener, addresses))
    if grpc:
        grpc.stop(limits.GRACE_SECONDS).wait()


def make_model() -> Any:
    """Return an object of the class MODEL_NAME, with the parameters that Seldon gives it."""
    name, text = os.environ.get("MODEL_NAME", ""), os.environ.get("PREDICTIVE_UNIT_PARAMETERS") or "[]"
    try:
        found = pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"MODEL_NAME={name} cannot be imported: {error}") from None
    try:
        parameters = {item["name"]: PARAMETERS[item["type"]](item["value"]) for item in json.loads(text)}
    except (ValueError, KeyError, TypeError) as error:
        kinds = ", ".join(PARAMETERS)
        raise UserError(f"PREDICTIVE_UNIT_PARAMETERS: each has a name, a value and a type ({kinds}): {error!r}") from None
    try:
        return found(**parameters)
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} does not take PREDICTIVE_UNIT_PARAMETERS {text}: {error}") from None


def _set_log_level() -> None:
    level = os.environ.get("SELDON_LOG_LEVEL", "INFO").upper()
    if level not in logging.getLevelNamesMapping():
        raise UserError(f"SELDON_LOG_LEVEL is {level}; it is one of: {', '.join(logging.getLevelNamesMapping())}.")
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if os.environ.get("TRACING", "0") != "0":
        logging.warning("TRACING is ignored: this server sends no traces.")


def _number(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal():
        raise UserError(f"{name} is {text}; it is a whole number.")
    return int(text)


def _quick_bytes(model: Any) -> int:
    """Return the length of a body whose examples the model answers within QUICK_SECONDS; each has a byte a value."""
    began = time.perf_counter()
    model.health_status()
    seconds = (time.perf_counter() - began) / max(len(model.recorded), 1)
    return int(limits.QUICK_SECONDS / seconds * model.schema.inputs.size)


def listen(port: int) -> socket.socket:
    """Return a socket that listens at this port, or at a free one for 0."""
    try:
        listener = socket.create_server((HOST, port), backlog=2048)
    except OSError as error:
        raise UserError(f"Port {port} cannot be listened at: {error.strerror}.") from None
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # connections inherit it: a caller that takes no answer loses its own
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limits.IDLE_SECONDS * 1000)
    return listener


def _address(port: int) -> str:
    return f"http://{HOST}:{port}"


def _start_metrics() -> int:
    port = _number(PORT.format("METRICS"), 6000)
    try:
        server, _ = prometheus_client.start_http_server(port, HOST)
    except OSError as error:
        raise UserError(f"Port {port} cannot be listened at: {error.strerror}.") from None
    return server.server_port


def _start_grpc(model: Any, metrics: Metrics) -> Any:
    """Serve gRPC too, with seldon-core's own server."""
    from seldon_core.wrapper import get_grpc_server

    server = get_grpc_server(model, metrics, num_threads=THREADS)
    server.add_insecure_port(f"{HOST}:{_number(PORT.format('GRPC'), 5000)}")
    server.start()
    return server


async def serve(application: Application, listener: socket.socket, addresses: dict[str, str]) -> None:
    """Serve until SIGTERM or SIGINT, and then until every request is answered."""
    config = uvicorn.Config(
        application, http="httptools", ws="none", lifespan="off", log_level="warning", access_log=False,
        server_header=False, timeout_keep_alive=limits.IDLE_SECONDS, timeout_graceful_shutdown=limits.GRACE_SECONDS,
    )  # fmt: skip
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not running.done():
        await asyncio.sleep(0.005)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    _say(addresses)
    await asyncio.wait([running, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
    await _drain(application, server, listener)
    server.should_exit = True
    await running


def _say(addresses: dict[str, str]) -> None:
    print(f"Serving at {addresses['url']}; metrics at {addresses['metrics']}", flush=True)
    if name := os.environ.get(ADDRESS_VARIABLE):
        draft = Path(f"{name}.draft")
        draft.write_text(json.dumps(addresses), encoding="utf-8")
        draft.replace(name)


async def _drain(application: Application, server: uvicorn.Server, listener: socket.socket) -> None:
    """Tell each caller that its connection closes, before it does: a request on a closed one would be lost."""
    application.closing = True
    end = time.monotonic() + limits.LINGER_SECONDS
    while (server.server_state.connections or _somebody_waits(listener)) and time.monotonic() < end:
        await asyncio.sleep(0.01)
    while _somebody_waits(listener) and time.monotonic() < end + 1:
        await asyncio.sleep(0)
    server.servers[0].close()
    while server.server_state.connections and time.monotonic() < end + 0.5:  # those that came last
        await asyncio.sleep(0.01)


def _somebody_waits(listener: socket.socket) -> bool:
    return bool(select.select([listener], [], [], 0)[0])


if __name__ == "__main__":
    main()
