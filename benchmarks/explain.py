"""Measure explanations over HTTP: one client, eight clients at the same time, and what predictions wait for them.

Each client sends one explanation after another, each of another movie of the test and validation splits, with its
facts. During one of two loads of eight clients, one more client sends predictions. Writes
benchmarks/results/explain.json: seconds, requests that were refused, movies a second in batches on the same machine a
moment later, and how busy the machine was with other work before. Requires the pipeline's outputs (dvc repro).
"""

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from benchmarks import _results
from benchmarks.serving import load, movies, request, served
from movie_ratings.core.command import exit_code
from movie_ratings.core.paths import MODEL
from movie_ratings.prediction.classifier import Classifier

CLIENTS: Final = 8
TRIED: Final = 200  # movies of the batch


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explain", description=__doc__)
    parser.add_argument("--model", default=MODEL, help="a served folder (default: %(default)s)")
    parser.add_argument("--movies", type=int, default=1_000, help="(default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each load (default: %(default)s)")
    options = parser.parse_args()
    rows = [request(movie) for movie in movies(options.movies)]
    found: dict[str, Any] = {
        "movies": len(rows),
        "threads": os.cpu_count(),
        # Of the minute before: what other work there was.
        "load_average_before": os.getloadavg()[0],
    }
    with tempfile.TemporaryDirectory() as scratch, served("--model", options.model) as (url, _):
        lines = Path(scratch, "movies.jsonl")
        lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
        seconds = str(options.seconds)
        load(url, lines, "--explain", "--clients", "1", "--seconds", "3")
        found["one_client"] = load(url, lines, "--explain", "--clients", "1", "--seconds", seconds)
        found["predictions_alone"] = load(url, lines, "--clients", "1", "--seconds", "10")
        with ThreadPoolExecutor() as pool:
            explained = pool.submit(load, url, lines, "--explain", "--clients", str(CLIENTS), "--seconds", seconds)
            time.sleep(1)
            part = str(options.seconds / 2)
            found["predictions_meanwhile"] = load(url, lines, "--clients", "1", "--seconds", part)
            found["clients_and_predictions"] = {"clients": CLIENTS} | explained.result()
        found["clients"] = {"clients": CLIENTS} | load(
            url, lines, "--explain", "--clients", str(CLIENTS), "--seconds", seconds
        )
    found["movies_a_second_in_batches"] = in_batches(options.model, rows[:TRIED])
    clients = found["clients"]
    # A figure that depends less on how busy the machine was.
    clients["p99_in_movies_of_a_batch"] = clients["answered"]["p99_seconds"] * found["movies_a_second_in_batches"]
    _results.write("explain", found)
    refused = clients["statuses"].get("503", 0)
    print(
        f"explain: {CLIENTS} clients, {clients['answered_a_second']:.1f} explanations a second, "
        f"p50 {clients['answered']['p50_seconds']:.2f} s, p99 {clients['answered']['p99_seconds']:.2f} s, "
        f"{refused} refused; {found['movies_a_second_in_batches']:.0f} movies a second in batches"
    )


def in_batches(model: str, rows: list[dict[str, Any]]) -> float:
    """Movies a second in one process, after a warm-up."""
    classifier = Classifier.load(model)
    classifier.predict(rows[:16])
    started = time.perf_counter()
    classifier.predict(rows)
    return len(rows) / (time.perf_counter() - started)


if __name__ == "__main__":
    sys.exit(exit_code(main))
