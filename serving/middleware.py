"""Middleware for every request: its path, its limits, an API key if one is set, metrics and a line in the log."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Collection
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import bodies
from serving.bodies import Body, BodyError, Budget, Disconnected, Incoming
from serving.metrics import Metrics
from serving.responses import problem
from serving.schemas import MAX_BODY

LOG: Final = logging.getLogger("serving")
PRIVATE: Final = ("/classifier_post", "/v1/")  # routes that a key protects, and that predict
UPLOAD: Final = "/gradio_api/upload"  # it goes to a file as it comes, and has limits of its own
MAX_FORM: Final = 128 << 10  # bytes of what the page sends: its texts, most of which take one to four bytes a character
REPLACED: Final = (b"content-encoding", b"content-length", b"transfer-encoding")
BUSY: Final = "too many requests at once; try again in a second"
GONE: Final = 499  # the status in logs and metrics of a request whose client went before it was answered


class Paths:
    """Which path a request means, whether or not a proxy removed the ``root`` under which it publishes the service.

    ``exact`` are the API's own paths; they are also found with a slash at their end, as they are without the page.
    """

    def __init__(self, root: str, exact: Collection[str]):
        self._root, self._exact = root.rstrip("/"), frozenset(exact)

    def scope(self, scope: Scope) -> tuple[Scope, str]:
        """The scope of the application, whose path begins with its root path, and the path without the root."""
        path, root = scope["path"], self._root
        if root and (path == root or path.startswith(f"{root}/")):
            path = path[len(root) :]
        if path.endswith("/") and path.rstrip("/") in self._exact:
            path = path.rstrip("/")
        path = path or "/"
        # A response to HEAD is one to GET without its body, which uvicorn leaves out: it has the scope of its own.
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        return dict(scope, method=method, root_path=root, path=root + path), path


class Gate:
    """ASGI middleware: refuses some requests before they are parsed, and counts and logs all.

    It refuses a prediction without the ``key`` if one is set, a prediction while the queue is ``full`` (under overload
    a refusal must cost next to nothing), and a body that is larger than its route needs, or than the budget of all
    bodies allows. ``headers`` are added to each response.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        paths: Paths,
        key: str | None,
        headers: dict[str, str],
        full: Callable[[], bool] = lambda: False,
    ):
        self._app, self._metrics, self._paths, self._full = app, metrics, paths, full
        self._key = None if key is None else key.encode()
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self._budget = Budget()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), GONE

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                known = {name for name, _ in message["headers"]}
                added = [line for line in self._headers if line[0] not in known]
                message = dict(message, headers=[*message["headers"], *added])
            await send(message)

        inner, path = self._paths.scope(scope)
        try:
            await self._answer(inner, path, receive, sent)
        except Disconnected:
            pass
        except BodyError as error:
            await problem(error.status, error.reason)(inner, receive, sent)
        except asyncio.CancelledError:  # the time to finish the open requests is over
            if status == GONE:
                await problem(503, "the service stops")(inner, receive, sent)
        except Exception:
            LOG.exception("failed")
            if status == GONE:
                await problem(500, "an error of the service; it is in its log")(inner, receive, sent)
        finally:
            self._count(inner, scope["method"], status, time.perf_counter() - started)

    async def _answer(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        private = path.startswith(PRIVATE)
        headers = dict(scope["headers"])
        if private and not self._allowed(headers):
            await problem(401, "an API key is needed: X-API-Key")(scope, receive, send)
            return
        if private and scope["method"] == "POST" and self._full():
            await problem(503, BUSY)(scope, receive, send)
            return
        has_body = b"content-length" in headers or b"transfer-encoding" in headers
        if not has_body or path.startswith(UPLOAD):
            await self._app(scope, receive, send)
            return
        body = Body(self._budget, MAX_BODY if private else MAX_FORM)
        try:
            content = await body.read(Incoming(receive), headers.get(b"content-encoding", b"").strip().lower())
            if private:
                bodies.count(content)
            kept = [line for line in scope["headers"] if line[0] not in REPLACED]
            scope["headers"] = [*kept, (b"content-length", str(len(content)).encode())]
            await self._app(scope, bodies.replayed(content, receive), send)
        finally:
            body.close()

    def _allowed(self, headers: dict[bytes, bytes]) -> bool:
        return self._key is None or secrets.compare_digest(headers.get(b"x-api-key", b""), self._key)

    def _count(self, scope: Scope, method: str, status: int, seconds: float) -> None:
        # The route as declared: each path that a client makes up would be a metric of its own.
        route = getattr(scope.get("route"), "path", None) or "other"
        self._metrics.requests.labels(route, status).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        details: dict[str, Any] = {
            "method": method,
            "route": route,
            "status": status,
            "milliseconds": round(1000 * seconds, 1),
        }
        LOG.info("request", extra={"details": details})
