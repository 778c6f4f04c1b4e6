"""What a client may take of the service: connections, heads, bodies, keys and time. Each limit at its edge.

The attacks have the names of published ones: CVE-2007-6750 (connections that send next to nothing), vLLM CVE-2025-29770
and CVE-2026-34756 (resources without a bound).
"""

import asyncio
import contextlib
import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from movie_ratings.movies.text import FIELDS, NAMES
from movie_ratings.prediction.classifier import Classifier
from serving.bodies import BUDGET, MAX_KEYS, MAX_VALUES
from serving.connections import PIPELINED, Connection, Limits, Register
from serving.metrics import Metrics
from serving.schemas import MAX_BODY
from tests.support.service import Server

MOVIE = {"title": "Film 7", "summary": "A radiant vision.", "genres": ["Drama"]}
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Small:
    """A server with small limits and a tiny application, in a thread of its own.

    /big is a response of 40 MB, /slow takes a second, /early answers after the first part of a body; every other path
    echoes the number of bytes of the body.
    """

    def __init__(self, **limits: Any):
        self.metrics = Metrics()
        register = Register(Limits(**limits), self.metrics)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        protocol: Any = partial(Connection, register)
        config = uvicorn.Config(self._app, http=protocol, ws="none", log_config=None, lifespan="off", interface="asgi3")
        config.timeout_keep_alive = 5
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],), daemon=True)

    def __enter__(self) -> "Small":
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *arguments: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size, more = size + len(message.get("body", b"")), message.get("more_body", False)
            if scope["path"] == "/early":
                more = False
        if scope["path"] == "/slow":
            await asyncio.sleep(1)
        count = 40_000_000 if scope["path"] == "/big" else 0
        body = str(size).encode() + b" " * count
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def connect(self, client: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection(self.address, timeout=5, source_address=(client, 0))

    def ask(self, request: bytes = GET, client: str = "127.0.0.1") -> bytes:
        """All that is sent back until the connection is closed, or nothing has come for half a second."""
        with self.connect(client) as connection:
            connection.sendall(request)
            return received(connection)

    def closed(self, reason: str) -> float:
        return self.metrics.closed.labels(reason)._value.get()


def received(connection: socket.socket, seconds: float = 0.5) -> bytes:
    found = b""
    connection.settimeout(seconds)
    with contextlib.suppress(TimeoutError, ConnectionResetError, BrokenPipeError):
        while chunk := connection.recv(65_536):
            found += chunk
    return found


def is_open(connection: socket.socket) -> bool:
    connection.settimeout(0.05)
    try:
        return connection.recv(1) != b""
    except TimeoutError:
        return True
    except ConnectionResetError:
        return False


def test_silent_connections_are_closed_and_a_slow_head_is_refused() -> None:
    # CVE-2007-6750.
    with Small(head_seconds=0.4) as server:
        silent, slow = server.connect(), server.connect()
        started = time.monotonic()
        slow.settimeout(0.05)
        answer = b""
        for byte in b"GET / HTTP/1.1\r\nX-A: " + b"a" * 1_000:
            with contextlib.suppress(TimeoutError, OSError):
                slow.send(bytes([byte]))
                answer += slow.recv(1_000)
            if answer:
                break
        assert 0.3 < time.monotonic() - started < 2
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"the head of the request took more than 0.4 seconds" in answer
        assert not is_open(silent)
        assert (server.closed("408"), server.closed("silent")) == (1, 1)
        silent.close()
        slow.close()


def test_an_empty_line_does_not_keep_a_connection_for_ever() -> None:
    with Small(head_seconds=0.3) as server, server.connect() as connection:
        connection.sendall(GET)
        assert received(connection, 0.1).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"\r\n")
        time.sleep(0.6)
        received(connection, 0.1)
        assert not is_open(connection)


def test_silent_connections_keep_nobody_out() -> None:
    # CVE-2007-6750.
    with Small(connections=20, connections_per_client=0) as server:
        silent = [server.connect() for _ in range(60)]
        time.sleep(0.1)
        assert server.ask().startswith(b"HTTP/1.1 200 ")
        assert sum(map(is_open, silent)) == 19, "the newest, but for the one that made room"
        assert is_open(silent[-1])
        for connection in silent:
            connection.close()


def test_a_client_has_a_limit_of_its_own_and_pushes_out_no_other() -> None:
    with Small(connections=100, connections_per_client=5) as server:
        other = server.connect("127.0.0.2")
        greedy = [server.connect() for _ in range(30)]
        time.sleep(0.1)
        assert sum(map(is_open, greedy)) == 5
        assert is_open(other)
        assert server.closed("evicted") == 25
        for connection in (other, *greedy):
            connection.close()


def test_an_open_request_is_never_closed_for_a_new_connection() -> None:
    slow = b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with Small(connections_per_client=3) as server:
        busy = [server.connect() for _ in range(3)]
        for connection in busy:
            connection.sendall(slow)
        time.sleep(0.2)
        assert server.ask() == b""
        assert server.closed("refused") == 1
        assert server.ask(client="127.0.0.3").startswith(b"HTTP/1.1 200 ")
        assert all(received(connection, 3).startswith(b"HTTP/1.1 200 ") for connection in busy)
        assert server.ask().startswith(b"HTTP/1.1 200 "), "there is room again"
        for connection in busy:
            connection.close()


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nX-A: " + b"a" * 3_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 3_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"A%d:\r\n" % n for n in range(11)) + b"\r\n",
        b"GET / HTTP/1.1\r\nX-A: " + b"a" * 5_000_000,
        b"GET / HTTP/1.1\r\n" + b"A:\r\n" * 1_000_000,
    ],
    ids=["long line", "long path", "many lines", "line without an end", "lines without an end"],
)
def test_a_head_has_a_limit(head: bytes) -> None:
    with Small(head_bytes=2_000, head_lines=10) as server, server.connect() as connection:
        with contextlib.suppress(ConnectionError):
            for first in range(0, len(head), 10_000):
                connection.sendall(head[first : first + 10_000])
                time.sleep(0.001)
        answer = received(connection)
        # Who still sends when the connection is closed may see a reset instead of the answer.
        assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")
        assert len(head) > 100_000 or b"the head of the request has more than" in answer
        assert server.closed("431") == 1
        assert server.ask(b"GET / HTTP/1.1\r\nX-A: " + b"a" * 1_500 + b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_a_body_has_a_deadline() -> None:
    with Small(body_seconds=0.4) as server:
        started = time.monotonic()
        answer = server.ask(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc")
        assert 0.3 < time.monotonic() - started < 2
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"the body of the request took more than 0.4 seconds" in answer
        assert server.ask(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").endswith(b"3")


def test_a_client_that_does_not_read_is_dropped() -> None:
    with Small(write_seconds=0.4) as server, server.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(1.5)
        assert server.closed("write timeout") == 1
        assert server.metrics.connections._value.get() == 0


def test_a_body_whose_request_has_been_answered_is_not_read_for_ever() -> None:
    head = b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    with Small() as server:
        with server.connect() as connection:
            connection.sendall(head % 4_000_000 + b" ")
            assert received(connection).startswith(b"HTTP/1.1 200 ")
            connection.sendall(b" " * 3_999_999 + GET)
            assert received(connection).startswith(b"HTTP/1.1 200 "), "the next request of the same client"
        with server.connect() as connection, contextlib.suppress(ConnectionError, TimeoutError):
            connection.sendall(head % 64_000_000 + b" ")
            assert received(connection).startswith(b"HTTP/1.1 200 ")
            connection.sendall(b" " * 63_999_998)
            assert not is_open(connection)
        assert server.closed("body after its response") == 1


def test_requests_on_one_connection_are_answered_in_order_up_to_a_limit() -> None:
    with Small() as server:
        some = b"".join(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (n, b"a" * n) for n in range(1, 6))
        answers = server.ask(some).split(b"HTTP/1.1 200 ")[1:]
        assert [answer.rpartition(b"\r\n")[2] for answer in answers] == [b"1", b"2", b"3", b"4", b"5"]
        many = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" * (PIPELINED + 2)
        assert server.ask(many) == b"", "no refusal in the place of the first answer"
        assert server.closed("400") == 1


@pytest.fixture(scope="module")
def server(served_model: Path) -> Iterator[Server]:
    with Server(served_model, "--no-page") as running:
        yield running


def predict(**changes: Any) -> bytes:
    return json.dumps({"movies": [MOVIE | changes]}).encode()


def test_a_body_may_be_packed(server: Server) -> None:
    plain = server.ask("POST", "/v1/predict", predict())
    packed = server.ask("POST", "/v1/predict", gzip.compress(predict()), **{"Content-Encoding": "gzip"})
    assert packed[:2] == plain[:2]
    assert packed[0] == 200


@pytest.mark.parametrize(
    ("encoding", "body", "status", "reason"),
    [
        ("gzip", gzip.compress(b" " * (MAX_BODY + 1)), 413, "more than 4,194,304 bytes"),
        ("gzip", gzip.compress(b" " * 400_000_000, 1), 413, "more than 4,194,304 bytes"),
        ("gzip", predict(), 400, "not gzip"),
        ("gzip", gzip.compress(predict())[:-9], 400, "not all of it"),
        ("deflate", zlib.compress(predict()), 415, "gzip"),
        ("br", predict(), 415, "gzip"),
    ],
    ids=["a byte too many", "bomb", "not packed", "cut off", "deflate", "brotli"],
)
def test_a_packed_body_has_the_limit_of_what_it_holds(
    server: Server, encoding: str, body: bytes, status: int, reason: str
) -> None:
    found, answer, _ = server.ask("POST", "/v1/predict", body, **{"Content-Encoding": encoding})
    assert found == status
    assert reason in answer["detail"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_json_that_cannot_be_counted_is_refused(server: Server, encoding: str) -> None:
    status, answer, _ = server.ask("POST", "/v1/predict", predict().decode().encode(encoding))
    assert (status, answer["detail"]) == (400, "the body is not JSON in UTF-8")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (json.dumps({"movies": [], **{f"key {n}": 0 for n in range(350_000)}}).encode()[:MAX_BODY], "3,000 keys"),
        (json.dumps({f"key {n}": 0 for n in range(MAX_KEYS + 1)}).encode(), "3,000 keys"),
        (b'{"movies": [' + b"1," * MAX_VALUES + b"1]}", "90,000 values"),
        (b'{"movies": [' + b"[]," * MAX_VALUES + b"1]}", "90,000 values"),
        (b'{"movies": [' + b'"",' * 1_000_000 + b'""]}', "90,000 values"),
    ],
    ids=["as many keys as fit", "a key too many", "numbers", "lists", "strings"],
)
def test_keys_and_values_are_counted_before_they_are_parsed(server: Server, body: bytes, reason: str) -> None:
    # vLLM CVE-2025-29770, CVE-2026-34756.
    started = time.monotonic()
    status, answer, _ = server.ask("POST", "/v1/predict", body)
    assert status == 413
    assert answer["detail"] == f"the body has more than {reason}"
    assert time.monotonic() - started < 2


def test_the_largest_request_that_is_allowed_passes_the_count(server: Server) -> None:
    names = [f'"{n}", [and] {{more}}: "' for n in range(50)]
    texts = {"title": "A", "summary": 'text, "quoted: \\" [and] {more}' * 50, "collection": "B"}
    movie = dict.fromkeys(FIELDS, 1994) | dict.fromkeys(NAMES, names) | texts
    # The last one is wrong, so that none is predicted.
    status, answer, _ = server.ask("POST", "/v1/predict", {"movies": [movie] * 127 + [movie | {"year": 1}]})
    assert status == 422
    assert answer["faults"][0]["field"] == "movies.127.year"


def test_text_that_tries_to_slow_the_count_down_does_not(server: Server) -> None:
    for body in (b'"\\' * 2_000_000, b'"' + b"\\" * 4_000_000, b'"a' * 2_000_000):
        started = time.monotonic()
        assert server.ask("POST", "/v1/predict", body)[0] in (413, 422)
        assert time.monotonic() - started < 2


def test_a_refusal_is_small_whatever_was_sent(server: Server) -> None:
    wrong = {"movies": [{"title": "A", **{"k" * 1_000 + str(n): n for n in range(1_900)}}]}
    status, answer, headers = server.ask("POST", "/v1/predict", wrong)
    assert status == 422
    assert int(headers["content-length"]) < 10_000
    assert len(answer["faults"]) == 20
    assert all(len(fault["field"]) <= 100 for fault in answer["faults"])
    assert len(answer["detail"]) < 500


def test_large_bodies_share_a_budget_that_small_ones_do_not_need(server: Server) -> None:
    # vLLM CVE-2025-29770: each of these is allowed, all of them together are not.
    body = b" " * (MAX_BODY - 1_000)
    head = f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {MAX_BODY}\r\n\r\n".encode()
    open_ = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(BUDGET // MAX_BODY + 2)]
    for connection in open_:
        connection.sendall(head + body)
    time.sleep(0.3)
    assert server.ask("POST", "/v1/predict", predict())[0] == 200
    refused = [connection for connection in open_ if received(connection, 0.1).startswith(b"HTTP/1.1 503 ")]
    assert refused, "before the body is complete"
    for connection in open_:
        connection.sendall(b" " * 1_000)
    statuses = [received(connection)[9:12] for connection in open_ if connection not in refused]
    assert statuses.count(b"422") >= 3, "an empty body, once it is complete"
    for connection in open_:
        connection.close()
    # What they took was given back.
    assert server.ask("POST", "/v1/predict", body)[0] == 422


def test_lists_of_the_originals_clients_are_predicted_in_parts(server: Server, served_model: Path) -> None:
    count = 300
    titles = [f"Film {n}" for n in range(count)]
    columns: dict[str, list[Any]] = {
        "title": titles,
        "summary": ["A radiant vision."] * count,
        "genres": [["Drama"]] * count,
    }
    status, answer, _ = server.ask("POST", "/classifier_post", columns)
    assert status == 200
    movies = [MOVIE | {"title": title} for title in titles]
    assert answer["ratings"] == [prediction.label for prediction in Classifier.load(served_model).predict(movies)]
    for name in columns:
        columns[name] = columns[name] * 7
    status, answer, _ = server.ask("POST", "/classifier_post", columns)
    assert status == 422
    assert "at most 2000 items" in answer["detail"]


@pytest.mark.slow
def test_a_stop_waits_for_no_client_that_sends_nothing(served_model: Path) -> None:
    with Server(served_model, "--no-page") as server:
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
        for number, connection in enumerate(silent):
            half = b"GET / HT" if number % 2 else b"POST /v1/predict HTTP/1.1\r\nContent-Length: 99\r\n\r\n{"
            connection.sendall(half)
        assert server.ask("GET", "/readyz")[0] == 200
        server.kill(15)
        started = time.monotonic()
        assert server.wait() == 0
        assert time.monotonic() - started < 10
        for connection in silent:
            connection.close()
