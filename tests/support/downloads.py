"""A server of files on 127.0.0.1, with the faults that downloads meet."""

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass
class File:
    """What the server has under a path, and how it sends it."""

    body: bytes
    etag: str | None = '"1"'
    last_modified: str | None = "Thu, 26 Nov 2026 00:00:00 GMT"
    content_type: str = "binary/octet-stream"
    content_encoding: str | None = None
    honours_range: bool = True
    honours_if_range: bool = True
    sends_length: bool = True
    # What happens to the next requests, each once: (status, headers), or the number of bytes after which it is cut.
    faults: list[Any] = field(default_factory=list)


class FileServer:
    """The server, for the length of a ``with`` block; ``requests`` has path and Range of each request."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        self.requests: list[tuple[str, str | None]] = []

    def __enter__(self) -> Self:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server._answer(self)

            def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None: ...  # a client that was killed

        self._http = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.lstrip("/")
        self.requests.append((path, request.headers.get("Range")))
        file = self.files.get(path)
        fault = file.faults.pop(0) if file and file.faults else None
        if file is None or isinstance(fault, tuple):
            status, headers = fault if isinstance(fault, tuple) else (404, {})
            return self._head(request, status, headers | {"Content-Length": "0"})
        start = self._start(request, file)
        if start > len(file.body):
            return self._head(request, 416, {"Content-Range": f"bytes */{len(file.body)}", "Content-Length": "0"})
        body = file.body[start:]
        headers = {"ETag": file.etag, "Last-Modified": file.last_modified, "Content-Type": file.content_type}
        headers["Content-Encoding"] = file.content_encoding
        headers["Content-Length"] = str(len(body)) if file.sends_length else None
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(file.body) - 1}/{len(file.body)}"
        self._head(request, 206 if start else 200, {name: value for name, value in headers.items() if value})
        request.wfile.write(body[: fault if isinstance(fault, int) else None])
        request.close_connection = isinstance(fault, int) or not file.sends_length
        return None

    def _start(self, request: BaseHTTPRequestHandler, file: File) -> int:
        span, condition = request.headers.get("Range"), request.headers.get("If-Range")
        if span is None or not file.honours_range:
            return 0
        if file.honours_if_range and condition not in (None, file.etag, file.last_modified):
            return 0
        return int(span.removeprefix("bytes=").removesuffix("-"))

    def _head(self, request: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
