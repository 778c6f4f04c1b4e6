"""The events of the page without a browser: what a program sends that knows Gradio's routes."""

import itertools
import json
from http.client import HTTPConnection
from typing import Any

from serving.page import INPUTS
from tests.support.service import Server

SESSIONS = itertools.count()


def join(
    server: Server, event: int, data: Any, session: str = "one", query: str = "", **headers: str
) -> tuple[int, Any]:
    body = {"data": data, "fn_index": event, "session_hash": session}
    return server.ask("POST", f"/gradio_api/queue/join{query}", body, **headers)[:2]


def result(server: Server, session: str = "one") -> dict[str, Any]:
    """How the event of a session ended."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", f"/gradio_api/queue/data?session_hash={session}")
    response = connection.getresponse()
    while line := response.readline():
        if line.startswith(b"data:"):
            message: dict[str, Any] = json.loads(line[5:])
            if message["msg"] == "process_completed":
                connection.close()
                return message
    raise AssertionError("no result")


def movie(title: Any = "Film 7", **changes: Any) -> list[Any]:
    values = dict.fromkeys(INPUTS) | {"summary": "A radiant vision.", "genres": ["Drama"], "year": 1994, "runtime": 90}
    return list((values | {"title": title} | changes).values())


def answered(server: Server, event: int, data: Any, query: str = "") -> dict[str, Any]:
    """How an event ended, of a session of its own."""
    session = f"session{next(SESSIONS)}"
    assert join(server, event, data, session, query)[0] == 200
    return result(server, session)
