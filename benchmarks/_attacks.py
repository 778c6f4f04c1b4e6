"""Attack a running service, from a process of its own: python -m benchmarks._attacks PORT EVENT SECONDS [NAME ...].

Each attack begins again and again, from an address of its own on the loopback network, until the time is over.
EVENT is the number of the page's event for a movie. Prints one JSON object: for each attack, how often it ran, and
what the service did.
"""

import argparse
import asyncio
import contextlib
import gzip
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from movie_ratings.movies.text import FIELDS, NAMES

HOST: Final = "127.0.0.1"
PAUSE: Final = 0.5  # seconds between two runs of an attack: the attacker shares the processors with the service
Outcomes = Counter[str]


class Attacker:
    """One client address and what the service did to it."""

    def __init__(self, port: int, event: int, number: int, until: float):
        self._port, self.event = port, event
        self._source, self._until = f"127.0.0.{number}", until
        self.outcomes: Outcomes = Counter()
        self.runs = 0

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(self._until - time.monotonic(), 0.0)

    async def send(self, *parts: bytes, wait: float = 5.0, times: int = 1) -> None:
        """Send ``parts`` on a new connection, the last one ``times`` times; note what comes within ``wait`` seconds."""
        try:
            reader, writer = await asyncio.open_connection(HOST, self._port, local_addr=(self._source, 0))
        except OSError as error:
            self.outcomes[type(error).__name__] += 1
            return
        try:
            answer = asyncio.ensure_future(_first(reader))
            for part in [*parts[:-1], *[parts[-1]] * times] if parts else []:
                writer.write(part)
                await writer.drain()
                if answer.done():
                    break
        except OSError:
            pass  # the service closed the connection, perhaps with an answer
        try:
            self.outcomes[await asyncio.wait_for(answer, min(wait, self.left))] += 1
        except TimeoutError:
            self.outcomes["open"] += 1
        finally:
            writer.transport.abort()

    async def post(self, path: str, body: bytes, *headers: str) -> None:
        """Send a whole request."""
        await self.send(_head(path, len(body), *headers), body, wait=20)


async def _first(reader: asyncio.StreamReader) -> str:
    """The status that comes first on a connection, or how it ends without one."""
    try:
        found = await reader.read(65_536)
    except OSError:
        return "reset"
    return found[9:12].decode() if found.startswith(b"HTTP/") else "closed"


def _head(path: str, length: int, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {length}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode()


async def silent_connections(client: Attacker) -> None:
    await asyncio.gather(*(client.send(wait=60) for _ in range(1_000)))


async def unfinished_heads(client: Attacker) -> None:
    chunk = b"a" * 100_000
    await asyncio.gather(*(client.send(b"GET / HTTP/1.1\r\nX-A: ", chunk, times=300) for _ in range(10)))


async def many_header_lines(client: Attacker) -> None:
    await asyncio.gather(*(client.send(b"GET / HTTP/1.1\r\n", b"A:\r\n" * 25_000, times=10) for _ in range(10)))


async def unfinished_bodies(client: Attacker) -> None:
    head, most = _head("/v1/predict", 4 << 20), b" " * ((4 << 20) - 1)
    await asyncio.gather(*(client.send(head, most, wait=60) for _ in range(100)))


async def pipelined_requests(client: Attacker) -> None:
    await client.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 10_000)


async def texts_on_the_page(client: Attacker) -> None:
    for size in (1_000_000, 4_000_000, 100_000):
        await client.post("/gradio_api/queue/join", _form(client.event, "word " * (size // 5)))


async def explanations_on_the_page(client: Attacker) -> None:
    await asyncio.gather(
        *(client.post("/gradio_api/queue/join", _form(client.event, "word " * 4_000)) for _ in range(8))
    )


async def many_genres(client: Attacker) -> None:
    genres = [f"g{n}" for n in range(30_000)]
    await client.post("/v1/predict", json.dumps({"movies": [{"title": "A", "genres": genres}]}).encode())
    await client.post("/gradio_api/queue/join", _form(client.event, "b", genres))


async def unknown_keys(client: Attacker) -> None:
    await client.post("/v1/predict", json.dumps({f"k{n}": 0 for n in range(350_000)}).encode()[: 4 << 20])


async def nested_lists(client: Attacker) -> None:
    await client.post("/v1/predict", b'{"movies": ' + b"[" * 4_000_000)


BOMB: Final = gzip.compress(b" " * 400_000_000, 1)


async def packed_bodies(client: Attacker) -> None:
    await client.post("/v1/predict", BOMB, "Content-Encoding: gzip")


async def the_largest_requests(client: Attacker) -> None:
    movie = {"title": "A", "summary": "word " * 4_000}
    await client.post("/v1/predict", json.dumps({"movies": [movie] * 128}).encode())
    full = {"title": "A"} | {field: [f"name {n}" for n in range(50)] for field in NAMES}
    await client.post("/v1/predict", json.dumps({"movies": [full] * 128}).encode())


ATTACKS: Final[dict[str, Callable[[Attacker], Awaitable[None]]]] = {
    attack.__name__: attack
    for attack in (
        silent_connections,
        unfinished_heads,
        many_header_lines,
        unfinished_bodies,
        pipelined_requests,
        texts_on_the_page,
        explanations_on_the_page,
        many_genres,
        unknown_keys,
        nested_lists,
        packed_bodies,
        the_largest_requests,
    )
}


def _form(event: int, summary: str, genres: list[str] | None = None) -> bytes:
    """What the page sends for a movie."""
    data = ["A", summary, genres or [], *[None] * (len(FIELDS) - 3)]
    return json.dumps({"data": data, "fn_index": event, "session_hash": f"s{time.monotonic_ns()}"}).encode()


async def attack(port: int, event: int, seconds: float, names: Sequence[str]) -> dict[str, dict[str, int]]:
    until = time.monotonic() + seconds
    clients = {name: Attacker(port, event, number, until) for number, name in enumerate(ATTACKS, 10) if name in names}

    async def repeat(name: str) -> None:
        client = clients[name]
        while client.left:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ATTACKS[name](client), client.left + 1)
            client.runs += 1
            await asyncio.sleep(PAUSE)

    await asyncio.gather(*map(repeat, names))
    return {name: {"runs": client.runs, **client.outcomes} for name, client in clients.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("event", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("names", nargs="*", default=list(ATTACKS))
    options = parser.parse_args()
    print(json.dumps(asyncio.run(attack(options.port, options.event, options.seconds, options.names))))
