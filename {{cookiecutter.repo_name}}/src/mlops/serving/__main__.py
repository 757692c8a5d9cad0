"""Start the server of a bundle, in the bundle's folder: `python -m mlops.serving`.

It reads the variables of Seldon's wrapper. A port that is 0 is chosen by the system.
"""

import json
import logging
import os
import pkgutil
import socket
import sys
import timeit
from collections.abc import Callable
from typing import Any

import prometheus_client

from ..errors import UserError
from . import limits, starting
from .application import THREADS, Application
from .metrics import Measured, Metrics
from .server import Server

logger = logging.getLogger(__name__)
HOST = os.environ.get(starting.HOST_VARIABLE) or "0.0.0.0"
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
        listener = _listen(_number("PREDICTIVE_UNIT_HTTP_SERVICE_PORT", 9000))
        page, _ = prometheus_client.start_http_server(_number("PREDICTIVE_UNIT_METRICS_SERVICE_PORT", 6000), HOST)
        grpc = _start_grpc(model, metrics) if _number("GRPC_WORKERS", 0) else None
    except (UserError, OSError) as error:
        sys.exit(f"The model cannot be served: {error}")
    url, statistics = f"http://{HOST}:{listener.getsockname()[1]}", f"http://{HOST}:{page.server_port}/metrics"
    Server(Application(model, metrics, kind, quick_bytes), lambda: starting.publish(url, statistics)).run([listener])
    if grpc:
        grpc.stop(limits.GRACE_SECONDS).wait()


def make_model(name: str, parameters: str) -> Any:
    """Return an object of the class `name`; Seldon's parameters are JSON: [{"name", "value", "type"}, ...]."""
    try:
        found = pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"MODEL_NAME={name} cannot be imported: {error}") from None
    try:
        return found(**{one["name"]: PARAMETERS[one["type"]](one["value"]) for one in json.loads(parameters)})
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{name} cannot be made with PREDICTIVE_UNIT_PARAMETERS={parameters}: {error}") from None


def _set_log_level() -> None:
    level = os.environ.get("SELDON_LOG_LEVEL", "INFO").upper()
    if level not in logging.getLevelNamesMapping():
        raise UserError(f"SELDON_LOG_LEVEL is {level}; it is one of: {', '.join(logging.getLevelNamesMapping())}.")
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if os.environ.get("TRACING", "0") != "0":
        logger.warning("TRACING is ignored: this server sends no traces.")


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
    server.add_insecure_port(f"{HOST}:{_number('PREDICTIVE_UNIT_GRPC_SERVICE_PORT', 5000)}")
    server.start()
    return server


if __name__ == "__main__":
    main()
