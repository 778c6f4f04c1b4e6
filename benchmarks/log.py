"""Measure what the log of predictions costs: two services side by side, one of them with --log.

64 clients send one movie a request, in turns to the one service and to the other. Then the service with the log is
under load for longer, while its memory is measured. Writes benchmarks/results/log.json. Requires the pipeline's outputs
(dvc repro).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import _results
from benchmarks.serving import CLIENTS, load, movies, request, served, soak, spread
from movie_ratings.core.command import exit_code
from movie_ratings.log import read

PARTS: Final = ("throughput", "memory")
MOVIES: Final = 1_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.log", description=__doc__)
    parser.add_argument("--part", action="append", choices=PARTS, help="only this; repeat for several (default: all)")
    parser.add_argument("--rounds", type=int, default=10, help="pairs of measurements (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a measurement (default: %(default)s)")
    parser.add_argument(
        "--soak", type=float, default=600.0, help="seconds of load while memory is measured (default: %(default)s)"
    )
    options = parser.parse_args()
    found = _results.read("log") | {"clients": CLIENTS}
    parts: dict[str, Callable[[Path, argparse.Namespace], dict[str, Any]]] = {
        "throughput": measure_throughput,
        "memory": measure_memory,
    }
    for part in options.part or PARTS:
        with tempfile.TemporaryDirectory() as scratch:
            lines = Path(scratch, "movies.jsonl")
            lines.write_text("".join(json.dumps(request(movie)) + "\n" for movie in movies(MOVIES)))
            found |= parts[part](lines, options)
        _results.write("log", found)
    print(f"log: {found['share_of_throughput']['median']:.1%} of the throughput without a log")


def measure_throughput(lines: Path, options: argparse.Namespace) -> dict[str, Any]:
    """What both services answer, in turns, and what they need of the processor for a movie."""
    with served() as (plain, bare), served(*log_options(lines)) as (logged, process):
        services, processes = {"without": plain, "with": logged}, {"without": bare, "with": process}
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in services}
        for url in services.values():
            load(url, lines, "--seconds", "5")
        for number in range(options.rounds):
            # Each goes first in every other round: what else the machine does hits both alike.
            for name in sorted(services, reverse=number % 2 == 1):
                before = processor_seconds(processes[name])
                measured = load(services[name], lines, "--seconds", str(options.seconds))
                used = processor_seconds(processes[name]) - before
                found[name].append(measured | {"milliseconds": 1_000 * used / measured["statuses"]["200"]})
    speeds = {name: [one["answered_a_second"] for one in some] for name, some in found.items()}
    milliseconds = {name: [one["milliseconds"] for one in some] for name, some in found.items()}
    return {
        "movies_per_second": {name: spread(values) for name, values in speeds.items()},
        "share_of_throughput": spread(ratios(speeds)),
        # Of the processor, which other programs on the machine change less than the throughput.
        "milliseconds_a_movie": {name: spread(values) for name, values in milliseconds.items()},
        "share_of_milliseconds": spread(ratios(milliseconds)),
        "p99_seconds": {name: spread([one["answered"]["p99_seconds"] for one in found[name]]) for name in found},
    }


def measure_memory(lines: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The memory of the service with the log during a longer load, and the size of the log."""
    with served(*log_options(lines)) as (url, process):
        load(url, lines, "--seconds", "5")
        memory = soak(url, lines, process, options.soak)
    folder = lines.with_name("log")
    rows = sum(len(batch) for batch in read.batches(folder, "predictions"))
    size = sum(path.stat().st_size for path in folder.iterdir())
    return {"memory": memory, "rows": rows, "bytes_a_row": size / rows}


def log_options(lines: Path) -> tuple[str, ...]:
    """The options of a service that logs beside the file ``lines``."""
    return "--log", str(lines.with_name("log")), "--log-texts"


def ratios(values: Mapping[str, Sequence[float]]) -> list[float]:
    """With the log over without, round by round."""
    return [a / b for a, b in zip(values["with"], values["without"], strict=True)]


def processor_seconds(process: subprocess.Popen[str]) -> float:
    """Seconds of the processor that all threads of a process have used so far (Linux)."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(exit_code(main))
