"""Middleware for every request: a limit on the body, an API key if one is set, metrics and a line in the log."""

import logging
import secrets
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.metrics import Metrics
from serving.responses import problem

LOG: Final = logging.getLogger("serving")
PRIVATE: Final = ("/classifier_post", "/v1/")  # routes that a key protects
DRAINED: Final = 64 << 20  # bytes of a refused body that are read and thrown away
BUSY: Final = "too many requests at once; try again in a second"


class Gate:
    """ASGI middleware: refuses some requests before they are parsed, and counts and logs all.

    It refuses a body over ``limit`` bytes, a prediction without the ``key`` if one is set, and a prediction while the
    queue is ``full``: under overload a refusal must cost next to nothing.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, limit: int, key: str | None, full: Callable[[], bool] = lambda: False
    ):
        self._app, self._metrics, self._limit, self._full = app, metrics, limit, full
        self._key = None if key is None else key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500
        answered = False

        async def sent(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status, answered = message["status"], True
            await send(message)

        private = scope["path"].startswith(PRIVATE)
        try:
            if private and not self._allowed(dict(scope["headers"])):
                await problem(401, "an API key is needed: X-API-Key")(scope, receive, sent)
            elif private and scope["method"] == "POST" and self._full():
                await problem(503, BUSY)(scope, receive, sent)
            elif private:
                await self._limited(scope, receive, sent)
            else:  # the uploads of the page have a limit of their own
                await self._app(scope, receive, sent)
        except Exception:
            LOG.exception("failed")
            if not answered:
                await problem(500, "an error of the service; it is in its log")(scope, receive, sent)
        finally:
            self._count(scope, status, time.perf_counter() - started)

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        read = 0

        async def counted() -> MutableMapping[str, Any]:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            while self._limit < read < DRAINED and message.get("more_body"):
                # The rest is read and thrown away: a client does not read a response while it is still sending.
                message = await receive()
                read += len(message.get("body", b""))
            return message if read <= self._limit else {"type": "http.disconnect"}

        async def sent(message: Message) -> None:
            if read <= self._limit:
                await send(message)

        await self._app(scope, counted, sent)
        if read > self._limit:
            await problem(413, f"the body has more than {self._limit:,} bytes")(scope, receive, send)

    def _allowed(self, headers: dict[bytes, bytes]) -> bool:
        return self._key is None or secrets.compare_digest(headers.get(b"x-api-key", b""), self._key)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        # The route as declared: each path that a client makes up would be a metric of its own.
        route = getattr(scope.get("route"), "path", None) or "other"
        self._metrics.requests.labels(route, status).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        details = {
            "method": scope["method"],
            "route": route,
            "status": status,
            "milliseconds": round(1000 * seconds, 1),
        }
        LOG.info("request", extra={"details": details})
