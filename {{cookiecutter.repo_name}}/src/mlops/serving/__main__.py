"""Start the server of a bundle, in the bundle's folder: `python -m mlops.serving`.

It reads the variables of Seldon's wrapper. The system chooses a port that is given as 0.
"""

import json
import logging
import os
import pkgutil
import socket
import sys
import timeit
from collections.abc import Callable, Iterable
from typing import Any

import prometheus_client
import uvloop

from ..errors import UserError
from . import limits, starting
from .application import Application
from .metrics import Measured, Metrics
from .server import serve

HOST = os.environ.get(starting.HOST_VARIABLE) or "0.0.0.0"
HIGHEST_PORT = 65535
TYPES: dict[str, Callable[[str], Any]] = {  # of Seldon's parameters
    "INT": int, "FLOAT": float, "DOUBLE": float, "STRING": str, "BOOL": lambda text: text.lower() == "true",
}  # fmt: skip


def main() -> None:
    """Load the model and serve it until SIGTERM."""
    try:
        level = _choice("SELDON_LOG_LEVEL", "INFO", logging.getLevelNamesMapping())
        logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        if os.environ.get("TRACING", "0") != "0":
            logging.getLogger(__name__).warning("TRACING is ignored: this server sends no traces.")
        kind = _choice("SERVICE_TYPE", "MODEL", ("MODEL", "ROUTER"))
        model, metrics, quick_bytes = _make_model(), Metrics(), limits.SHORT_BYTES
        if kind == "MODEL":
            model.load()
            quick_bytes = min(quick_bytes, _quick_bytes(model))
            model = Measured(model)
        listener = _listen(_number("PREDICTIVE_UNIT_HTTP_SERVICE_PORT", 9000))
        page, _ = prometheus_client.start_http_server(_number("PREDICTIVE_UNIT_METRICS_SERVICE_PORT", 6000), HOST)
        grpc = _start_grpc(model, metrics) if _number("GRPC_WORKERS", 0) else None
    except (UserError, OSError) as error:
        sys.exit(f"The model cannot be served: {error}")
    starting.publish(f"http://{HOST}:{listener.getsockname()[1]}", f"http://{HOST}:{page.server_port}/metrics")
    uvloop.run(serve(Application(model, metrics, kind, quick_bytes), listener))
    if grpc:
        grpc.stop(limits.GRACE_SECONDS).wait()


def _choice(name: str, default: str, choices: Iterable[str]) -> str:
    text = (os.environ.get(name) or default).upper()
    if text not in choices:
        raise UserError(f"{name} is {text}; it is one of: {', '.join(choices)}.")
    return text


def _number(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or int(text) > HIGHEST_PORT:
        raise UserError(f"{name} is {text}; it is a whole number up to {HIGHEST_PORT}.")
    return int(text)


def _make_model() -> Any:
    """Return an object of the class that MODEL_NAME names, made with Seldon's parameters."""
    name, given = os.environ.get("MODEL_NAME", ""), os.environ.get("PREDICTIVE_UNIT_PARAMETERS") or "[]"
    try:
        parameters = {one["name"]: TYPES[one["type"]](one["value"]) for one in json.loads(given)}
        return pkgutil.resolve_name(name)(**parameters)
    except (ImportError, AttributeError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"MODEL_NAME={name} with PREDICTIVE_UNIT_PARAMETERS={given} makes no model: {reason}") from None


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

    server = get_grpc_server(model, metrics, num_threads=limits.THREADS)
    server.add_insecure_port(f"{HOST}:{_number('PREDICTIVE_UNIT_GRPC_SERVICE_PORT', 5000)}")
    server.start()
    return server


if __name__ == "__main__":
    main()
