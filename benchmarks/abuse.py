"""Measure what the service does at its limits and under attack; writes benchmarks/results/abuse.json.

First, each limit at its edge: the largest body and head, the deadlines, the connections. Then all attacks of
benchmarks._attacks at once, each from an address of its own on the loopback network, while an honest client sends a
movie ten times a second; finally SIGTERM, with the attacks going on. Requires the pipeline's outputs (dvc repro) and
Linux.
"""

import argparse
import contextlib
import json
import select
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

from benchmarks import _results
from benchmarks._memory import peak_megabytes
from movie_ratings.core.command import exit_code
from movie_ratings.core.paths import MODEL
from movie_ratings.movies.text import FIELDS
from serving.bodies import MAX_KEYS, MAX_VALUES
from serving.connections import Limits
from serving.middleware import MAX_FORM
from serving.schemas import MAX_BODY

AIMS: Final = {"megabytes": 700, "latency_seconds": 2.0, "stop_seconds": 10.0}
HONEST: Final = {"title": "The Long Harbour", "summary": "A widowed pilot guides one last ship home through the ice."}
JSON: Final = {"Content-Type": "application/json"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.abuse", description=__doc__)
    parser.add_argument("--model", default=MODEL, metavar="FOLDER", help="(default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of all attacks (default: %(default)s)")
    options = parser.parse_args()
    with served(options.model) as (port, process):
        found: dict[str, Any] = {"megabytes_at_start": peak_megabytes(process.pid), "limits": edges(port)}
        found["attack"] = attacked(port, process, options.seconds)
    _results.write("abuse", found)
    attack = found["attack"]
    reached = (attack["peak_megabytes"], attack["honest"]["worst_seconds"], attack["stop_seconds"])
    print("abuse: {:.0f} MB, an honest client waited for {:.2f} s, SIGTERM took {:.1f} s".format(*reached))


@contextmanager
def served(model: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The service with the page and its default options, but for the cache: the load repeats its movies."""
    command = [sys.executable, "-m", "serving", "--model", model, "--port", "0", "--cache", "0"]
    with tempfile.NamedTemporaryFile("w+") as log, subprocess.Popen(command, stderr=log) as process:
        while '"serving"' not in (line := Path(log.name).read_text().partition("\n")[0]):
            time.sleep(0.1)
            assert process.poll() is None
        try:
            yield json.loads(line)["address"][1], process
        finally:
            process.kill()


def edges(port: int) -> dict[str, float]:
    """What is measured at each limit: bytes, lines, connections, or seconds."""
    limits = Limits()
    with ThreadPoolExecutor() as pool:
        times = {
            "silent_seconds": pool.submit(seconds_open, port, b""),
            "head_seconds": pool.submit(seconds_open, port, b"GET / HTTP/1.1\r\nX-A: "),
            "body_seconds": pool.submit(seconds_open, port, b"POST /v1/predict HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"),
            "keep_alive_seconds": pool.submit(seconds_open, port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
        }
        sizes = {
            "body_bytes": largest(MAX_BODY, lambda size: request(port, "/v1/predict", b" " * size) != 413),
            "form_bytes": largest(MAX_FORM, lambda size: request(port, "/gradio_api/queue/join", b" " * size) != 413),
            "keys": largest(MAX_KEYS, lambda count: request(port, "/v1/predict", keys(count)) != 413),
            "values": largest(MAX_VALUES, lambda count: request(port, "/v1/predict", values(count)) != 413),
            "head_bytes": largest(limits.head_bytes, lambda size: head(port, size, 1) == 200),
            "head_lines": largest(limits.head_lines, lambda lines: head(port, 4_000, lines) == 200),
        }
        found = {name: float(size) for name, size in sizes.items()} | {n: t.result() for n, t in times.items()}
    found["connections_per_client"] = held(port, limits.connections_per_client + 50, 1)
    found["connections"] = held(port, limits.connections + 100, 8)
    return found


def largest(limit: int, accepted: Any) -> int:
    """The largest size around ``limit`` that is accepted."""
    sizes = range(limit - 2, limit + 3)
    return max((size for size in sizes if accepted(size)), default=0)


def keys(count: int) -> bytes:
    return json.dumps({f"k{number}": 0 for number in range(count)}).encode()


def values(count: int) -> bytes:
    """JSON of ``count`` values as the service counts them: commas and opening brackets."""
    return json.dumps([0] * count).encode()


def request(port: int, path: str, body: bytes | None) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request("POST" if body is not None else "GET", path, body, JSON)
        response = connection.getresponse()
        response.read()
        return response.status


def head(port: int, size: int, lines: int) -> int:
    """The status of a request whose head has ``size`` bytes in ``lines``, counted as the service counts them."""
    names = [b"X-%03d" % number for number in range(lines)]
    left = size - len(b"/healthz") - sum(len(name) + 4 for name in names)
    head = b"".join(name + b": " + (b"a" * left if name == names[0] else b"") + b"\r\n" for name in names)
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n" + head + b"\r\n")
        return int(connection.recv(12)[9:])


def seconds_open(port: int, sent: bytes) -> float:
    """How long the service keeps a connection on which nothing comes after ``sent``."""
    with socket.create_connection(("127.0.0.1", port), 120) as connection:
        connection.sendall(sent)
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while connection.recv(65_536):
                pass
        return time.monotonic() - started


def held(port: int, count: int, clients: int) -> float:
    """How many of ``count`` silent connections the service keeps open."""
    open_ = []
    for number in range(count):
        source = f"127.0.0.{100 + number % clients}"
        open_.append(socket.create_connection(("127.0.0.1", port), 10, source_address=(source, 0)))
    time.sleep(1)
    poll = select.poll()
    for connection in open_:
        poll.register(connection, select.POLLIN)
    closed = len(poll.poll(0))  # nothing is sent on them, so that only a closed one can be read
    for connection in open_:
        connection.close()
    time.sleep(0.5)
    return float(len(open_) - closed)


class Client:
    """A client that asks one thing again and again, each time on a new connection."""

    def __init__(self, port: int, path: str, body: Any = None):
        self._port, self._path = port, path
        self._body = None if body is None else json.dumps(body).encode()
        self._seconds: list[float] = []
        self._statuses = Counter[str]()

    def ask(self) -> None:
        """Send the request once."""
        started = time.monotonic()
        try:
            self._statuses[str(request(self._port, self._path, self._body))] += 1
        except OSError as error:
            self._statuses[type(error).__name__] += 1
        self._seconds.append(time.monotonic() - started)

    def found(self) -> dict[str, Any]:
        """Statuses and response times."""
        return {
            "statuses": dict(self._statuses),
            "median_seconds": statistics.median(self._seconds),
            "worst_seconds": max(self._seconds),
        }


def attacked(port: int, process: subprocess.Popen[bytes], seconds: float) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/config") as response:
        events = json.load(response)["dependencies"]
    event = next(found["id"] for found in events if len(found["inputs"]) == len(FIELDS))
    # The attack goes on for a while after SIGTERM.
    arguments = [str(port), str(event), str(seconds + 15)]
    command = [sys.executable, "-m", "benchmarks._attacks", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as attack:
        time.sleep(1)
        honest, health = Client(port, "/v1/predict", {"movies": [HONEST]}), Client(port, "/readyz")
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            honest.ask()
            health.ask()
            time.sleep(0.1)
        peak = peak_megabytes(process.pid)
        stopped = time.monotonic()
        process.send_signal(signal.SIGTERM)
        status = process.wait(120)
        stop_seconds = time.monotonic() - stopped
        outcomes = json.loads(attack.communicate()[0])
    return {
        "seconds": seconds,
        "peak_megabytes": peak,
        "honest": honest.found(),
        "readyz": health.found(),
        "stop_seconds": stop_seconds,
        "exit_status": status,
        "attacks": outcomes,
        "aims": AIMS,
    }


if __name__ == "__main__":
    sys.exit(exit_code(main))
