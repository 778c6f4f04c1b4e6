"""The limits below ASGI: the number of connections, the size of a head, and the time that a request may take to come.

Uvicorn leaves them to a proxy, but clients reach the service without one too: a thousand connections that send nothing
(CVE-2007-6750, "Slowloris"), or heads without an end, must not keep others from being answered.
"""

import asyncio
import ipaddress
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any, Final, Literal

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serving.metrics import Metrics
from serving.responses import problem

# Longer than a load balancer keeps a connection, which is 60 seconds for most: it must not send on a closed one.
KEEP_ALIVE: Final = 75.0  # seconds
BEHIND: Final = 8 << 20  # bytes that a client may send of a body whose request has been answered
PIPELINED: Final = 8  # requests that may wait on a connection behind the one that is being answered


@dataclass(frozen=True)
class Limits:
    """What the service allows a client; all times are in seconds.

    When a limit on connections is reached, a new connection closes the one that has waited longest for its client. Only
    if the service is busy with the requests of all of them, the new connection is closed.
    """

    connections: int = 1_000
    connections_per_client: int = 250  # 0 means no limit; behind a proxy, the proxy is the only client
    head_bytes: int = 16 << 10
    head_lines: int = 100
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    write_seconds: float = 30.0  # without the client taking a byte of its response


class Register:
    """The open connections of a service, by client; decides which connection goes when there are too many."""

    def __init__(self, limits: Limits, metrics: Metrics):
        self.limits = limits
        self._metrics = metrics
        self._open: Counter[str] = Counter()
        # Connections that wait for their client, the longest wait first. Dictionaries keep their order.
        self._waiting: dict[Connection, None] = {}
        self._waiting_of: defaultdict[str, dict[Connection, None]] = defaultdict(dict)

    def admit(self, connection: "Connection") -> bool:
        """Whether a new connection may stay; if so, it counts until `leave`."""
        client, limits = connection.address, self.limits
        if limits.connections_per_client and self._open[client] >= limits.connections_per_client:
            if not self._evict(self._waiting_of[client]):
                return False
        elif self._open.total() >= limits.connections and not self._evict(self._waiting):
            return False
        self._open[client] += 1
        self._metrics.connections.inc()
        self.waits(connection)
        return True

    def waits(self, connection: "Connection") -> None:
        """The connection waits for its client from now on."""
        self._waiting[connection] = self._waiting_of[connection.address][connection] = None

    def works(self, connection: "Connection") -> None:
        """The service works on a request of the connection."""
        self._waiting.pop(connection, None)
        self._waiting_of[connection.address].pop(connection, None)

    def leave(self, connection: "Connection") -> None:
        """The connection is closed."""
        self.works(connection)
        self._open[connection.address] -= 1
        self._metrics.connections.dec()
        if not self._open[connection.address]:
            del self._open[connection.address], self._waiting_of[connection.address]

    def count(self, reason: str) -> None:
        """Count a connection that the service closed for ``reason``."""
        self._metrics.closed.labels(reason).inc()

    def _evict(self, waiting: "dict[Connection, None]") -> bool:
        if not waiting:
            return False
        next(iter(waiting)).drop("evicted")
        return True


class Connection(HttpToolsProtocol):
    """Uvicorn's protocol within `Limits`."""

    def __init__(self, register: Register, **arguments: Any):
        super().__init__(**arguments)
        self._register = register
        self._part: Literal["head", "body"] | None = "head"  # what the client has to send next
        self._head = 0  # bytes of the present head
        self._fault: tuple[int, str] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._watched: tuple[int, str | None] = (0, None)  # the request and its part that the deadline is for
        self._requests = 0
        self._behind = 0  # bytes of the present body that came after its response
        self._stuck: asyncio.TimerHandle | None = None
        self._admitted = False

    @property
    def address(self) -> str:
        """The client's address; of an IPv6 address, the network, all of which belongs to one client."""
        host = self.client[0] if self.client else ""
        return str(ipaddress.ip_network(f"{host}/64", strict=False)) if ":" in host and "%" not in host else host

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Admit the connection, or close it at once."""
        super().connection_made(transport)
        self._admitted = self._register.admit(self)
        if self._admitted:
            self._watch()
        else:
            self.drop("refused")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        for timer in (self._deadline, self._stuck):
            if timer:
                timer.cancel()
        self._unset_keepalive_if_required()
        if self._admitted:
            self._register.leave(self)
            self._admitted = False
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what the client sent."""
        if self.transport.is_closing():
            return
        if self._part is None and not self.pipeline and (self.cycle is None or self.cycle.response_complete):
            self._expect_head()  # even an empty line ends uvicorn's keep-alive deadline
        # A chunk that begins with the end of another request has 256 KB at most.
        same = self._requests if self._part == "head" else -1
        super().data_received(data)
        if self._part == "head":
            self._head = self._head + len(data) if same == self._requests else 0
            if self._head > self.limits.head_bytes:
                self._refuse(431, f"the head of the request has more than {self.limits.head_bytes:,} bytes")
        self._watch()

    @property
    def limits(self) -> Limits:
        """The limits of the service."""
        return self._register.limits

    def drop(self, reason: str) -> None:
        """Close the connection without an answer."""
        self._register.count(reason)
        if self._admitted:
            self._register.works(self)
        self.transport.abort()

    # The parser calls the next five while it reads. An exception makes it call `send_400_response`.
    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        if self._part != "head":
            self._expect_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A line of the head is complete."""
        if len(self.headers) >= self.limits.head_lines:
            self._fault = 431, f"the head of the request has more than {self.limits.head_lines} lines"
            raise ValueError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete: a body may follow."""
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > self.limits.head_bytes:
            self._fault = 431, f"the head of the request has more than {self.limits.head_bytes:,} bytes"
            raise ValueError
        if len(self.pipeline) >= PIPELINED:
            self._fault = 400, f"more than {PIPELINED} requests wait on this connection"
            raise ValueError
        self._part, self._head, self._behind = "body", 0, 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body; what comes after the response is thrown away, up to a limit."""
        super().on_body(body)
        if self.cycle.response_complete and not self.transport.is_closing():
            self._behind += len(body)
            if self._behind > BEHIND:
                self.drop("body after its response")

    def on_message_complete(self) -> None:
        """The body is complete: the service works from now on."""
        super().on_message_complete()
        self._part = None
        self._register.works(self)

    def on_response_complete(self) -> None:
        """The response is complete: the client may send another request."""
        super().on_response_complete()
        if self._admitted and not self.pipeline and not self.transport.is_closing():
            self._register.waits(self)

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be parsed, and what has a fault."""
        self._refuse(*(self._fault or (400, msg)))

    def pause_writing(self) -> None:
        """The client takes its response more slowly than it comes."""
        super().pause_writing()
        if self._stuck is None:
            self._stuck = self.loop.call_later(self.limits.write_seconds, self.drop, "write timeout")

    def resume_writing(self) -> None:
        """The client takes its response."""
        super().resume_writing()
        if self._stuck:
            self._stuck.cancel()
            self._stuck = None

    def _expect_head(self) -> None:
        self._requests += 1
        self._part, self._head = "head", 0

    def _watch(self) -> None:
        """Set the deadline of the part that the client has to send next, unless it runs already."""
        watched = (self._requests, self._part)
        if watched == self._watched:
            return
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None
        self._watched = watched
        if self._part and not self.transport.is_closing():
            seconds = self.limits.head_seconds if self._part == "head" else self.limits.body_seconds
            self._deadline = self.loop.call_later(seconds, self._late, seconds)

    def _late(self, seconds: float) -> None:
        """The deadline has passed."""
        if self._part == "head" and not self._head:
            self.drop("silent")
        else:
            self._refuse(408, f"the {self._part} of the request took more than {seconds:g} seconds")

    def _refuse(self, status: int, reason: str) -> None:
        """Close the connection, with an answer if the client does not wait for that of another request."""
        if self.transport.is_closing():
            return
        self._register.count(str(status))
        reading = self._part == "body" and not self.pipeline and not self.cycle.response_started
        if reading or self.cycle is None or self.cycle.response_complete:
            response = problem(status, reason)
            head = [b"%s: %s\r\n" % line for line in response.raw_headers if line[0] != b"connection"]
            self.transport.write(b"".join([STATUS_LINE[status], *head, b"connection: close\r\n\r\n"]))
            self.transport.write(bytes(response.body))
            self.transport.close()
        # A client that does not read would keep the connection open with what was written to it.
        self.loop.call_later(1.0, self.transport.abort)
