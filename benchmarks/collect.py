"""Collecting from a local server that behaves like TMDB: the rate, faults and kills, and a plan of 1.2 million ids.

Writes benchmarks/results/collect.json. The rates are compared with those of the original collector, which requested one
movie after another.
"""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ruamel.yaml import YAML

from benchmarks import _results
from benchmarks._memory import peak_megabytes
from movie_ratings import params
from movie_ratings.core.command import run_stage
from movie_ratings.core.errors import UserError
from movie_ratings.movies.record import MOVIE
from movie_ratings.sources.tmdb.archive import Archive, Batch
from movie_ratings.sources.tmdb.details import Details, movie
from movie_ratings.sources.tmdb.ids import planned
from tests.support.tmdb import KEY, Server, Settings, details, exported, most_in_one_second

OUTPUT = str(_results.path("collect"))
KILLS = 10
MOST_RUNS = 10
MANY = 1_200_000
FETCH = [sys.executable, "-m", "stages.fetch"]


def main() -> None:
    found = {
        "ceiling_40_latency_100_ms": rates(movies=1_200, latency=0.1, limit=40.0),
        "ceiling_1000_latency_20_ms": rates(movies=6_000, latency=0.02, limit=1_000.0),
        "faults_20_percent_and_kills": faults(movies=2_000),
        "ids_1_200_000": planning(),
    }
    _results.write("collect", found)
    print(json.dumps(found, indent=2))


def rates(movies: int, latency: float, limit: float) -> dict[str, float]:
    """Requests a second at the server: the collector's, and those of one request after another."""
    with tempfile.TemporaryDirectory() as folder, Server(movies=movies, latency=latency) as server:
        configure(folder, server, requests_per_second=limit, concurrency=64)
        subprocess.run(FETCH, cwd=folder, env=environment(), check=True, stderr=subprocess.DEVNULL)
        moments = server.statistics()["moments"]
    with Server(movies=movies, latency=latency) as server:
        start = time.monotonic()
        asked = 0
        while time.monotonic() - start < 10:
            asked += 1
            with urllib.request.urlopen(f"{server.url}/3/movie/{asked}?api_key={KEY}&append_to_response=credits") as r:
                json.load(r)
        sequential = asked / (time.monotonic() - start)
    sustained = (len(moments) - 1) / (moments[-1] - moments[0])
    return {
        "limit": limit,
        "sustained": sustained,
        "most_in_one_second": most_in_one_second(moments),
        "one_after_another": sequential,
        "ratio": sustained / sequential,
    }


def faults(movies: int) -> dict[str, Any]:
    """The table against the server's, and the cost of ten kills.

    20% of the answers are faulty, and 5% of the others hold an impossible value.
    """
    moments = random.Random(0)
    settings = {"movies": movies, "latency": 0.05, "faults": 0.2, "odd_share": 0.05}
    with tempfile.TemporaryDirectory() as folder, Server(**settings) as server:
        configure(folder, server, requests_per_second=100.0, max_failed_share=0.0, timeout=5.0)
        for _ in range(KILLS):
            process = subprocess.Popen(FETCH, cwd=folder, env=environment(), stderr=subprocess.DEVNULL)
            time.sleep(moments.uniform(1, 4))
            process.send_signal(signal.SIGKILL)
            process.wait()
        # An impossible value fails its movie, and the run: the next run requests that movie again.
        runs = 1
        while subprocess.run(FETCH, cwd=folder, env=environment(), check=False, stderr=subprocess.DEVNULL).returncode:
            runs += 1
            if runs > MOST_RUNS:
                raise UserError(f"the collector still fails in run {MOST_RUNS} after the kills")
        collected = pq.read_table(Path(folder, "data/raw/movies.parquet"))
        expected = [
            movie(Details.model_validate(details(n, server.settings)), cast_size=10)
            for n in range(1, movies + 1)
            if n % 40 and n % 41
        ]
        statistics = server.statistics()
        return {
            "movies": len(collected),
            "equal_to_the_servers": collected.equals(pa.Table.from_pylist(expected, MOVIE)),
            "requests": len(statistics["moments"]),
            "answers_lost_to_kills": sum(served - 1 for served in statistics["served"].values()),
            "kills": KILLS,
            "odd_values_share": settings["odd_share"],
            "runs_after_the_kills": runs,
        }


def planning() -> dict[str, float]:
    """Seconds and memory to find the few of 1.2 million ids that have no answer yet."""
    with tempfile.TemporaryDirectory() as folder:
        options = params.load().fetch.tmdb.model_copy(update={"adult": True, "video": True})
        export = Path(folder, "export.json.gz")
        export.write_bytes(exported(Settings(movies=MANY + 10), "2026-01-01"))
        with Archive(Path(folder), options.api_url, options.language) as archive:
            text = Details(id=1, title="Film", overview="Story. " * 40).model_dump_json()
            for first in range(1, MANY, 50_000):
                archive.add(Batch(found=[(n, text, None) for n in range(first, first + 50_000)]))
        # In a process of its own, whose memory is that of planning alone.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.apply(plan, (folder, export, options))


def plan(folder: str, export: Path, options: params.Tmdb) -> dict[str, float]:
    """The work of a run before its first request."""
    start = time.monotonic()
    ids = planned(options, export)
    with Archive(Path(folder), options.api_url, options.language) as archive:
        left = np.setdiff1d(ids, archive.known(False), assume_unique=True)
    return {
        "planned": len(ids),
        "left": len(left),
        "seconds": time.monotonic() - start,
        "peak_megabytes": peak_megabytes(),
    }


def configure(folder: str, server: Server, **changes: Any) -> None:
    """Write params.yaml for a server."""
    found = YAML(typ="safe", pure=True).load(Path("params.yaml").read_text(encoding="utf-8"))
    found["fetch"]["source"] = "tmdb"
    found["fetch"]["tmdb"] |= {
        "api_url": f"{server.url}/3",
        "exports_url": f"{server.url}/exports",
        "export_date": server.settings.day,
    } | changes
    with Path(folder, "params.yaml").open("w", encoding="utf-8") as file:
        YAML(pure=True).dump(found, file)


def environment() -> dict[str, str]:
    """The environment of a collector in another folder: the server's key, and the path of the stages."""
    return {**os.environ, "TMDB_API_KEY": KEY, "PYTHONPATH": str(Path.cwd())}


if __name__ == "__main__":
    run_stage(main, [OUTPUT])
