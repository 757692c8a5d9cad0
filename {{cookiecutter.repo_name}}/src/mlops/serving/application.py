"""Seldon's REST protocol for a model or a router, as an ASGI application."""

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..errors import Refused
from . import limits, messages
from .metrics import Metrics

PREDICT = ("/api/v1.0/predictions", "/api/v0.1/predictions", "/predict")
FEEDBACK = ("/api/v1.0/feedback", "/api/v0.1/feedback", "/send-feedback")
HEALTH = ("/health/status", "/api/v1.0/health/status")
METADATA = ("/metadata", "/api/v1.0/metadata")
PONG = b"pong"
FOR_BROWSERS = ((b"access-control-allow-origin", b"*"), (b"access-control-allow-headers", b"content-type"))

logger = logging.getLogger(__name__)


class Application:
    """Answers quick requests at once and others in a small pool of threads, so that probes never wait for them.

    Args:
        kind: MODEL or ROUTER, as Seldon's SERVICE_TYPE.
        quick_bytes: the longest body that is quickly answered.
    """

    def __init__(self, model: Any, metrics: Metrics, kind: str, quick_bytes: int) -> None:
        self.model, self.metrics, self.quick_bytes = model, metrics, quick_bytes
        self.closing = False  # the server stops: every answer closes its connection
        self._slots, self._threads = asyncio.Semaphore(limits.IN_FLIGHT), ThreadPoolExecutor(limits.THREADS)
        self._gets: dict[str, Callable[[], bytes]] = {"/health/ping": lambda: PONG}
        self._gets |= dict.fromkeys(HEALTH, self._health) | dict.fromkeys(METADATA, self._metadata)
        work = dict.fromkeys(PREDICT, self._predict) if kind == "MODEL" else {"/route": self._route}
        self._posts: dict[str, Callable[[dict], bytes]] = work | dict.fromkeys(FEEDBACK, self._feedback)

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        path, status, headers = scope["path"], 200, list(FOR_BROWSERS)
        try:
            content = await self._content(scope["method"], path, dict(scope["headers"]), receive)
        except Exception as error:
            if not isinstance(error, Refused):
                logger.exception("%s", path)
                error = Refused("The model failed on this request; the server's log says why.", 500)
            status, content = error.code, messages.failure(error.code, str(error))
            headers += [(name.encode(), value.encode()) for name, value in error.headers]
        if path in PREDICT:
            self.metrics.requests.labels(status).inc()
        kind = b"text/plain" if content is PONG else b"application/json"
        headers += [(b"content-type", kind), (b"content-length", b"%d" % len(content))]
        headers += [(b"connection", b"close")] if self.closing else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _content(self, method: str, path: str, headers: dict[bytes, bytes], receive: Callable) -> bytes:
        if path not in self._gets and path not in self._posts:
            raise Refused(f"There is nothing here: send a POST to {next(iter(self._posts))}.", 404)
        allowed = ("GET", "HEAD", "OPTIONS") if path in self._gets else ("POST", "OPTIONS")
        if method not in allowed:
            raise Refused(f"Wrong method: allowed here is {allowed[0]}.", 405, ("allow", ", ".join(allowed)))
        if method == "OPTIONS":  # a browser asks whether it may ask
            return b""
        if path in self._gets:  # the model works for its health alone
            return await asyncio.to_thread(self._health) if path in HEALTH else self._gets[path]()
        return await self._post(path, headers, receive)

    async def _post(self, path: str, headers: dict[bytes, bytes], receive: Callable) -> bytes:
        """Read a body and have it answered."""

        def work(body: bytes) -> bytes:
            return self._posts[path](messages.parse(body, headers))

        most = limits.FEEDBACK_BYTES if path in FEEDBACK else limits.BODY_BYTES
        is_long = int(headers.get(b"content-length", most)) > limits.SHORT_BYTES  # in chunks it may be as long
        body = None if is_long else await _read(receive, most)
        if body is not None and len(body) <= self.quick_bytes:
            return work(body)
        if self._slots.locked():
            raise Refused(f"Busy: {limits.IN_FLIGHT} requests are under way. Try again.", 503, ("retry-after", "1"))
        async with self._slots:
            body = await _read(receive, most) if body is None else body
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, body)

    def _predict(self, message: dict) -> bytes:
        meta = messages.echo(message)
        values, names, form = messages.payload(message)
        answers = self.model.predict(values, names, messages.part(message, "meta"))
        return self._answered(answers, self.model.class_names(), form, meta)

    def _route(self, message: dict) -> bytes:
        values, names, _ = messages.payload(message)
        return self._answered([[self.model.route(values, names)]], [], "ndarray", messages.echo(message))

    def _feedback(self, message: dict) -> bytes:
        reward = message.get("reward", 0)
        if message.keys() - {"request", "response", "reward", "truth"} or type(reward) not in (int, float):
            parts = '"request", "response" and "truth", Seldon messages'
            raise Refused(f'Feedback must be a JSON object with "reward", a number, and {parts}.')
        request, truth = messages.part(message, "request"), messages.part(message, "truth")
        features, names, _ = messages.payload(request) if request else (None, [], "")
        right, *_ = messages.payload(truth) if truth else (None,)
        branch = messages.part(message, "response", "meta", "routing").get(os.environ.get("PREDICTIVE_UNIT_ID", "0"))
        self.metrics.update_reward(reward)
        self.model.send_feedback(features, names, reward, right, branch)
        return self._answered([], [], "ndarray", {"tags": {}})

    def _answered(self, answers: Any, names: list[str], form: str, meta: dict) -> bytes:
        self.metrics.update(self.model.metrics())
        return messages.answer(answers, names, form, meta | {"tags": meta["tags"] | self.model.tags()})

    def _health(self) -> bytes:
        try:
            return messages.to_json({"jsonData": self.model.health_status()})
        except Exception as error:
            raise Refused(f"Not ready: {error}.", 503) from None

    def _metadata(self) -> bytes:
        return messages.to_json(self.model.init_metadata())


async def _read(receive: Callable, most: int) -> bytes:
    """Return a whole body."""
    body, more = bytearray(), True
    while more:
        part = await receive()
        if part["type"] == "http.disconnect":
            raise Refused("The body could not be read to its end.")
        body += part["body"]
        more = part["more_body"]
        if len(body) > most:
            raise Refused(f"The body is over {most / 2**20:g} MiB: send less at a time, or binData.", 413)
    return bytes(body)
