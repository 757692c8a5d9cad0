"""Seldon's REST protocol for a model or a router, as an ASGI application."""

import asyncio
import logging
import math
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..errors import Refused
from . import limits, messages
from .messages import Refusal
from .metrics import Metrics

PREDICT = ("/api/v1.0/predictions", "/api/v0.1/predictions", "/predict")
FEEDBACK = ("/api/v1.0/feedback", "/api/v0.1/feedback", "/send-feedback")
FORMS = (b"multipart/form-data", b"application/x-www-form-urlencoded")
THREADS = 2  # that run the model
CORS = [(b"access-control-allow-methods", b"GET, POST"), (b"access-control-allow-headers", b"content-type")]

logger = logging.getLogger(__name__)


class Application:
    """Answers requests: short ones at once, others in a small pool of threads, so that probes never wait for them.

    Args:
        kind: MODEL or ROUTER, as Seldon's SERVICE_TYPE.
        quick_bytes: the longest body that is short.
    """

    def __init__(self, model: Any, metrics: Metrics, kind: str = "MODEL", quick_bytes: int = limits.SHORT_BYTES) -> None:
        self.model, self.metrics, self.quick_bytes = model, metrics, quick_bytes
        self.closing = False  # the server stops: every answer closes its connection
        self._threads = ThreadPoolExecutor(THREADS, "model")
        self._held_bytes = self._in_flight = 0
        health, metadata = self._health, self._metadata
        self._get: dict[str, Callable[[], Awaitable[bytes]]] = {
            "/health/ping": self._ping,
            **dict.fromkeys(("/health/status", "/api/v1.0/health/status"), health),
            **dict.fromkeys(("/metadata", "/api/v1.0/metadata"), metadata),
        }
        work = dict.fromkeys(PREDICT, self._predict) if kind == "MODEL" else {"/route": self._route}
        self._post: dict[str, Callable[[dict], bytes]] = {**work, **dict.fromkeys(FEEDBACK, self._feedback)}

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        method, path = scope["method"], scope["path"]
        status, headers = 200, [(b"access-control-allow-origin", b"*")]
        try:
            self._check_method(method, path)
            if method == "OPTIONS":  # a browser asks whether it may ask
                content, headers = b"", headers + CORS
            elif path in self._get:
                content = await self._get[path]()
            else:
                content = await self._answer(path, dict(scope["headers"]), receive)
        except Exception as error:
            if not isinstance(error, Refusal):
                logger.exception("%s", path)
                error = Refusal(500, "The model failed on this request; the server's log says why.")
            status, content = error.code, error.as_json()
            headers += [(name.encode(), value.encode()) for name, value in error.headers.items()]
        if path in PREDICT:
            self.metrics.requests.labels(status).inc()
        headers += [(b"content-type", b"text/plain" if content == b"pong" else b"application/json")]
        headers += [(b"content-length", b"%d" % len(content))]
        headers += [(b"connection", b"close")] if self.closing else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _check_method(self, method: str, path: str) -> None:
        if path in self._get:
            allowed = ("GET", "HEAD", "OPTIONS")
        elif path in self._post:
            allowed = ("POST", "OPTIONS")
        else:
            place = next(iter(self._post))
            raise Refusal(404, f"There is nothing here: send a POST to {place}.")
        if method not in allowed:
            raise Refusal(405, f"Wrong method: allowed here is {allowed[0]}.", allow=", ".join(allowed))

    async def _answer(self, path: str, headers: dict[bytes, bytes], receive: Callable) -> bytes:
        """Read a body and have it answered, here or in a thread."""
        kind = headers.get(b"content-type", b"")
        encoding = headers.get(b"content-encoding", b"identity").lower()
        if encoding != b"identity":
            raise Refusal(415, f"Content-Encoding {encoding.decode('latin-1')[:40]} is not read: send the body as it is.")
        form = kind.split(b";")[0].strip().lower() in FORMS
        if not form and kind.split(b";")[0].strip().lower() != b"application/json":
            raise Refusal(415, "Send the request as JSON, with Content-Type: application/json.")
        body = bytearray()

        def work() -> bytes:
            return self._post[path](messages.parse_form(body, kind.decode("latin-1")) if form else messages.parse(body))

        try:
            await self._read(body, limits.FEEDBACK_BYTES if path in FEEDBACK else limits.BODY_BYTES, headers, receive)
            return work() if len(body) <= self.quick_bytes else await self._in_thread(work)
        finally:
            self._held_bytes -= len(body)

    async def _read(self, body: bytearray, most: int, headers: dict[bytes, bytes], receive: Callable) -> None:
        too_long = Refusal(413, f"The body is over {most / 2**20:g} MiB: send less at a time, or binData.")
        if int(headers.get(b"content-length", 0)) > most:
            raise too_long
        try:
            async with asyncio.timeout(limits.BODY_SECONDS):
                while True:
                    part = await receive()
                    if part["type"] == "http.disconnect":
                        raise Refusal(400, "The body could not be read to its end.")
                    body += part["body"]
                    self._held_bytes += len(part["body"])
                    if len(body) > most:
                        raise too_long
                    if len(body) > limits.SHORT_BYTES and self._held_bytes > limits.HELD_BYTES:
                        raise _busy(f"requests of {limits.HELD_BYTES // 2**20} MiB in all are under way")
                    if not part["more_body"]:
                        return
        except TimeoutError:
            raise Refusal(408, f"The body did not arrive within {limits.BODY_SECONDS} s.") from None

    async def _in_thread(self, work: Callable[[], bytes]) -> bytes:
        if self._in_flight >= limits.IN_FLIGHT:
            raise _busy(f"{limits.IN_FLIGHT} requests are under way")
        self._in_flight += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._in_flight -= 1

    def _predict(self, message: dict) -> bytes:
        meta = messages.echo(message)
        values, names, form = messages.payload(message)
        try:
            answers = self.model.predict(values, names, message.get("meta") or {})
        except Refused as refused:
            raise Refusal(400, str(refused)) from None
        return self._answered(answers, self.model.class_names(), form, meta)

    def _route(self, message: dict) -> bytes:
        values, names = messages.features(message)
        return self._answered([[self.model.route(values, names)]], [], "ndarray", messages.echo(message))

    def _feedback(self, message: dict) -> bytes:
        reward = message.get("reward", 0)
        known = message.keys() <= {"request", "response", "reward", "truth"}
        if not known or type(reward) not in (int, float) or not math.isfinite(reward):
            parts = '"request", "response" and "truth", Seldon messages'
            raise Refusal(400, f'Feedback must be a JSON object with "reward", a number, and {parts}.')
        values, names = messages.features(message.get("request") or {})
        truth, _ = messages.features(message.get("truth") or {})
        routing = messages.routing(message.get("response") or {}).get(os.environ.get("PREDICTIVE_UNIT_ID", "0"))
        self.metrics.update_reward(reward)
        self.model.send_feedback(values, names, reward, truth, routing)
        return self._answered([], [], "ndarray", {})

    def _answered(self, answers: Any, names: list[str], form: str, meta: dict) -> bytes:
        self.metrics.update(self.model.metrics())
        meta["tags"] = {**meta.get("tags", {}), **self.model.tags()}
        return messages.answer(answers, names, form, meta)

    async def _ping(self) -> bytes:
        return b"pong"

    async def _health(self) -> bytes:
        try:
            found = await asyncio.to_thread(self.model.health_status)
        except Exception as error:
            raise Refusal(503, f"Not ready: {error}.") from None
        if self.closing:
            raise Refusal(503, "Not ready: the server stops.")
        return messages.answer(found, [], "ndarray", {})

    async def _metadata(self) -> bytes:
        return messages.plain(self.model.init_metadata())


def _busy(why: str) -> Refusal:
    return Refusal(503, f"The server is busy: {why}. Try again.", **{"retry-after": "1"})
