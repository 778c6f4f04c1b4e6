"""What the page needs of Gradio's routes, and from whom: everything else is refused before Gradio sees it.

Gradio has some sixty routes: for recordings, for components of other pages, for files from other hosts, for calls past
its queue. The page uses a dozen of them. A browser sends a request for another site's page with the origin of that
page, and such a request is refused, so that no other page can use a visitor's connection.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.bodies import Incoming
from serving.responses import problem
from serving.upload_folder import FullError, UploadFolder

READ: Final = re.compile(
    r"/|/config|/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json|/(?:assets|static)/[^\0]*"
    r"|/gradio_api/(?:startup-events|app_id|queue/data|upload_progress|heartbeat/\w+)"
)
FILE: Final = "/gradio_api/file="
UPLOAD: Final = "/gradio_api/upload"
WRITE: Final = frozenset(
    (UPLOAD, *(f"/gradio_api/{name}" for name in ("queue/join", "run/predict", "cancel", "reset")))
)
DRAINED: Final = 16 << 20  # bytes of a refused upload that are read and thrown away
AROUND: Final = 16 << 10  # bytes of an upload beside the file: the names and the boundaries of a form


class PageGate:
    """ASGI middleware around the mounted Gradio application. ``limit`` is that of an uploaded file, in bytes."""

    def __init__(self, app: ASGIApp, uploads: UploadFolder, limit: int):
        self._app, self._uploads, self._limit = app, uploads, limit + AROUND

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        path, method = scope["path"].removeprefix(scope.get("root_path", "")), scope["method"]
        if not same_origin(Headers(scope=scope), method):
            await problem(403, "a request of another site's page")(scope, receive, send)
        elif not self._known(path, method):
            await problem(404, "no such page")(scope, receive, send)
        elif path == UPLOAD:
            await self._upload(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _known(self, path: str, method: str) -> bool:
        if method == "POST":
            return path in WRITE
        if method not in ("GET", "HEAD"):
            return False
        # Gradio would fetch a file from another host, too.
        return self._uploads.holds(path.removeprefix(FILE)) if path.startswith(FILE) else bool(READ.fullmatch(path))

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        incoming, held = Incoming(receive), False

        async def counted() -> Message:
            message = await incoming.receive()
            return message if incoming.size <= self._limit else {"type": "http.disconnect"}

        async def sent(message: Message) -> None:
            nonlocal held
            # Gradio's answer to an error of its own; the one below says more.
            held = held or (message["type"] == "http.response.start" and message["status"] == 500)
            if not held and incoming.size <= self._limit:
                await send(message)

        if not self._fits(Headers(scope=scope).get("content-length", "0")):
            await self._refuse(scope, incoming, send)
            return
        try:
            async with self._uploads.upload(self._limit):
                await self._app(scope, counted, sent)
        except FullError:
            await problem(503, "too many uploads at once, or the disk is full; try again later")(scope, receive, send)
            return
        except OSError:
            await problem(507, "the upload could not be stored; try again later")(scope, receive, send)
            return
        except Exception:
            if incoming.size <= self._limit:
                raise
        if incoming.size > self._limit:
            await self._refuse(scope, incoming, send)

    def _fits(self, length: str) -> bool:
        """Whether an upload that declares this length may come; the server has checked that it is a number."""
        return len(length) <= 18 and int(length) <= self._limit

    async def _refuse(self, scope: Scope, incoming: Incoming, send: Send) -> None:
        await incoming.drain(DRAINED)
        await problem(413, f"an upload has at most {self._limit:,} bytes")(scope, incoming.receive, send)


def same_origin(headers: Mapping[str, str], method: str) -> bool:
    """Whether a request comes from the page itself, from a person who follows a link, or from no browser.

    A browser that speaks HTTPS names the relation of the two sites in Sec-Fetch-Site; every browser names the other
    page's origin in Origin. A page cannot change either header. The reasoning is that of Go's CrossOriginProtection.
    """
    origin = headers.get("origin")
    if origin is None and method in ("GET", "HEAD"):
        return True
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    if origin is None:
        return True
    # A proxy may pass the visitor's host in a header of its own, which another site's page cannot add.
    hosts = (headers.get("host"), headers.get("x-forwarded-host", "").split(",")[0].strip())
    try:
        return urlsplit(origin).netloc.lower() in {host.lower() for host in hosts if host}
    except ValueError:
        return False
