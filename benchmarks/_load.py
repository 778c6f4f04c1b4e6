"""Put a running service under load, from a process of its own: many clients with one movie a request.

python -m benchmarks._load URL MOVIES.jsonl --clients 64 --seconds 20      each client waits for the response
python -m benchmarks._load URL MOVIES.jsonl --rate 1000 --seconds 10       a fixed number of requests a second
python -m benchmarks._load URL MOVIES.jsonl --explain --clients 8          explanations in place of predictions
Prints one JSON object.
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np


async def load(options: argparse.Namespace) -> dict[str, Any]:
    movies = [json.loads(line) for line in options.movies.read_text().splitlines()]
    bodies = [json.dumps({"movie": movie} if options.explain else {"movies": [movie]}) for movie in movies]
    counts: Counter[str] = Counter()
    seconds: dict[str, list[float]] = {"200": [], "503": []}
    url = f"{options.url}/v1/{'explain' if options.explain else 'predict'}"
    connector = aiohttp.TCPConnector(limit=0)
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def send(number: int) -> None:
            started = time.perf_counter()
            try:
                async with session.post(url, data=bodies[number % len(bodies)]) as answer:
                    await answer.read()
                    status = str(answer.status)
            except (aiohttp.ClientError, OSError) as error:
                status = type(error).__name__
            counts[status] += 1
            seconds.setdefault(status, []).append(time.perf_counter() - started)

        started, cpu = time.perf_counter(), time.process_time()
        until = started + options.seconds
        if options.rate:
            tasks = set()
            for number in range(round(options.rate * options.seconds)):
                await asyncio.sleep(started + number / options.rate - time.perf_counter())
                task = asyncio.create_task(send(number))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.gather(*tasks)
        else:

            async def client(first: int) -> None:
                number = first
                while time.perf_counter() < until:
                    await send(number)
                    number += options.clients

            await asyncio.gather(*map(client, range(options.clients)))
        wall = time.perf_counter() - started
    return {
        "seconds": wall,
        "statuses": dict(counts),
        "answered_a_second": counts["200"] / wall,
        "answered": _latencies(seconds["200"]),
        "refused": _latencies(seconds["503"]),
        "generator_cpu_share_of_one_core": (time.process_time() - cpu) / wall,
    }


def _latencies(seconds: list[float]) -> dict[str, float] | None:
    if not seconds:
        return None
    return {f"p{p}_seconds": float(np.percentile(seconds, p)) for p in (50, 99)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("movies", type=Path)
    parser.add_argument("--explain", action="store_true")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--seconds", type=float, default=20.0)
    print(json.dumps(asyncio.run(load(parser.parse_args()))))
