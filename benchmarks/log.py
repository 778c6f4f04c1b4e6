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
from pathlib import Path
from typing import Any, Final

from benchmarks import _results
from benchmarks.serving import CLIENTS, load, movies, request, served, soak, spread
from movie_ratings.core.command import exit_code
from movie_ratings.log import read

MOVIES: Final = 1_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.log", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="pairs of measurements (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a measurement (default: %(default)s)")
    parser.add_argument(
        "--soak", type=float, default=300.0, help="seconds of load while memory is measured (default: %(default)s)"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        lines, folder = Path(scratch, "movies.jsonl"), Path(scratch, "log")
        lines.write_text("".join(json.dumps(request(movie)) + "\n" for movie in movies(MOVIES)))
        with served() as (plain, bare), served("--log", str(folder), "--log-texts") as (logged, process):
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
            memory = soak(logged, lines, process, options.soak)
        speeds = {name: [one["answered_a_second"] for one in some] for name, some in found.items()}
        ratios = [a / b for a, b in zip(speeds["with"], speeds["without"], strict=True)]
        milliseconds = {name: [one["milliseconds"] for one in some] for name, some in found.items()}
        rows = sum(len(batch) for batch in read.batches(folder, "predictions"))
        size = sum(path.stat().st_size for path in folder.iterdir())
    _results.write(
        "log",
        {
            "clients": CLIENTS,
            "movies_per_second": {name: spread(values) for name, values in speeds.items()},
            "share_of_throughput": spread(ratios),
            # Of the processor, which other programs on the machine change less than the throughput.
            "milliseconds_a_movie": {name: spread(values) for name, values in milliseconds.items()},
            "share_of_milliseconds": spread(
                [a / b for a, b in zip(milliseconds["with"], milliseconds["without"], strict=True)]
            ),
            "p99_seconds": {name: spread([one["answered"]["p99_seconds"] for one in found[name]]) for name in found},
            "memory": memory,
            "rows": rows,
            "bytes_a_row": size / rows,
        },
    )
    print(f"log: {spread(ratios)['median']:.1%} of the throughput without a log")


def processor_seconds(process: subprocess.Popen[str]) -> float:
    """Seconds of the processor that all threads of a process have used so far (Linux)."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(exit_code(main))
