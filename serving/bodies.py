"""The body of a request: read whole, within limits, before any code parses it.

Parsed JSON takes many times the memory of its text, and a model's validation answers each unknown key with an error of
its own. So the bytes, the keys and the values of a body are counted before it is parsed.
"""

import re
import zlib
from typing import Any, Final

from starlette.types import Message, Receive

FREE: Final = 64 << 10  # bytes of each body that do not count towards the budget: a movie always fits
BUDGET: Final = 16 << 20  # bytes of all larger bodies that are open at the same time
DRAINED: Final = 64 << 20  # bytes of a refused body that are read and thrown away
MAX_KEYS: Final = 3_000  # in the JSON of a body: 128 movies with every field have 2,305
MAX_VALUES: Final = 90_000  # the same: 128 movies with every list full have 80,000
# Possessive, and without a need for the last quote: the time must not grow with the square of the body.
STRING: Final = re.compile(rb'"(?:[^"\\]+|\\.)*+"?', re.DOTALL)


class BodyError(Exception):
    """A body is refused with ``status`` and ``reason``."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status, self.reason = status, reason


class Disconnected(Exception):  # noqa: N818  (not an error of the service)
    """The client has gone before its body was complete."""


class Budget:
    """The number of bytes that the bodies of all open requests may take together."""

    def __init__(self, size: int = BUDGET):
        self._left = size

    def take(self, size: int) -> None:
        """Take ``size`` bytes; `give` gives them back.

        Raises:
            BodyError: fewer are left.
        """
        if size > self._left:
            raise BodyError(503, "too many large bodies at once; try again in a second")
        self._left -= size

    def give(self, size: int) -> None:
        """Give ``size`` bytes back."""
        self._left += size


class Incoming:
    """The messages of a request's body as they come, with the number of bytes that have come."""

    def __init__(self, receive: Receive):
        self._receive = receive
        self.size = 0
        self.complete = False

    async def receive(self) -> Message:
        """The next message.

        Raises:
            Disconnected: the client has gone.
        """
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        self.size += len(message.get("body", b""))
        self.complete = not message.get("more_body")
        return message

    async def drain(self, most: int) -> None:
        """Throw away what is still to come, until ``most`` bytes of the body have come.

        A client that sends does not read a response.

        Raises:
            Disconnected: the client has gone.
        """
        while not self.complete and self.size <= most:
            await self.receive()


class Body:
    """The body of one request. What it takes of the budget, `close` gives back."""

    def __init__(self, budget: Budget, limit: int):
        self._budget, self._limit = budget, limit
        self._size = self._taken = 0

    async def read(self, incoming: Incoming, encoding: bytes) -> bytes:
        """The whole body, decoded if its ``encoding`` is gzip.

        Raises:
            BodyError: it is too large, of another encoding, or not what its encoding says.
            Disconnected: the client has gone.
        """
        try:
            return await self._read(incoming, encoding)
        except BodyError as error:
            self.close()
            # Under load, a refusal must not wait for a body that nobody reads.
            if error.status != 503:
                await incoming.drain(DRAINED)
            raise

    async def _read(self, incoming: Incoming, encoding: bytes) -> bytes:
        if encoding not in (b"", b"identity", b"gzip"):
            raise BodyError(415, "the body must not be encoded, or with gzip")
        unpack = zlib.decompressobj(wbits=31) if encoding == b"gzip" else None
        body = bytearray()
        while not incoming.complete:
            chunk = (await incoming.receive()).get("body", b"")
            found = self._decoded(unpack, chunk, self._limit - len(body)) if unpack else chunk
            self._grow(len(found))
            body += found
        if unpack and not unpack.eof:
            raise BodyError(400, "the body is not gzip, or not all of it")
        return bytes(body)

    def close(self) -> None:
        """Give back what the body has taken of the budget."""
        self._budget.give(self._taken)
        self._size = self._taken = 0

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > self._limit:
            raise BodyError(413, f"the body has more than {self._limit:,} bytes")
        if (more := max(self._size - FREE, 0) - self._taken) > 0:
            self._budget.take(more)
            self._taken += more

    @staticmethod
    def _decoded(unpack: Any, chunk: bytes, room: int) -> bytes:
        """What ``chunk`` adds to the body: at most a byte more than there is ``room`` for."""
        try:
            found: bytes = unpack.decompress(chunk, room + 1)
        except zlib.error:
            raise BodyError(400, "the body is not gzip, or not all of it") from None
        return found


def count(body: bytes) -> None:
    """Refuse JSON with too many keys or values.

    Raises:
        BodyError: it has more than `MAX_KEYS` or `MAX_VALUES`, or is UTF-16 or UTF-32, in which nothing can be counted.
    """
    if body[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in body[:4]:
        raise BodyError(400, "the body is not JSON in UTF-8")
    if len(body) <= MAX_KEYS:
        return
    # What stands between strings. A text may hold as many commas as it likes.
    bare, strings = STRING.subn(b"", body, MAX_VALUES + 1)
    if bare.count(b":") > MAX_KEYS:
        raise BodyError(413, f"the body has more than {MAX_KEYS:,} keys")
    if strings > MAX_VALUES or sum(map(bare.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise BodyError(413, f"the body has more than {MAX_VALUES:,} values")


def replayed(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that gives the whole ``body`` first, then what the connection reports."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return pending.pop() if pending else await receive()

    return next_message
