"""What every request passes: a limit on its body, a key where one is set, a count and a line in the log."""

import logging
import secrets
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.answers import problem

LOG: Final = logging.getLogger("serving")
PRIVATE: Final = ("/classifier_post", "/v1/")  # what a key protects
DRAINED: Final = 64 << 20  # bytes of a refused body that are read all the same
BUSY: Final = "too many requests at once; ask again in a second"


class Metrics:
    """The Prometheus metrics of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "movie_ratings_requests", "Requests answered", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "movie_ratings_request_seconds",
            "From the first byte of a request to the last of its answer",
            ["route"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
            registry=self.registry,
        )
        self.predictions = Counter("movie_ratings_predictions", "Movies predicted", ["label"], registry=self.registry)
        self.batch = Histogram(
            "movie_ratings_batch_movies",
            "Movies answered in one go",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
            registry=self.registry,
        )
        self.open = Gauge("movie_ratings_open_movies", "Movies waiting or being answered", registry=self.registry)
        self.model = Gauge("movie_ratings_model", "The model that answers", ["version"], registry=self.registry)


class Gate:
    """ASGI middleware: refuses what need not be read to be refused, counts and logs everything.

    That is: a body over ``limit`` bytes, no key where one is asked for, and a prediction while the queue is ``full``,
    which has to cost next to nothing just when there is too much to do.
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
            else:  # the page's uploads have a limit of their own
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
                # Read to the end though it is thrown away: who is still sending does not see an answer.
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
        # The route as declared: a path from outside could be anything, and would make a metric each.
        route = getattr(scope.get("route"), "path", None) or "other"
        self._metrics.requests.labels(route, status).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        facts = {"method": scope["method"], "route": route, "status": status, "milliseconds": round(1000 * seconds, 1)}
        LOG.info("request", extra={"facts": facts})
