"""Pipeline times: `dvc repro` from nothing, stage by stage, and with nothing changed against `dvc version`.

It runs in a fresh clone of the committed state, in a temporary folder, with the environment that runs this; with
--in-place in this checkout, whose outputs are then new. Writes benchmarks/results/pipeline.json.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from benchmarks import _results
from movie_ratings.core.command import exit_code

ROUNDS: Final = 5
RUNNING: Final = re.compile(r"Running stage '(.+)':")  # as DVC prints it


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pipeline", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--in-place", action="store_true", help="run in this checkout instead of a clone")
    with checkout(parser.parse_args().in_place) as folder:
        stages = seconds_of_stages(folder)
        unchanged, version = [], []
        for _ in range(ROUNDS):
            unchanged.append(seconds(folder, "dvc", "repro"))
            version.append(seconds(folder, "dvc", "version"))
    ratios = [ours / theirs for ours, theirs in zip(unchanged, version, strict=True)]
    whole = sum(stages.values())
    _results.write(
        "pipeline",
        {
            "repro_from_nothing_seconds": whole,
            "stages": stages,
            "unchanged_repro_over_dvc_version": {
                "min": min(ratios),
                "median": statistics.median(ratios),
                "max": max(ratios),
            },
        },
    )
    print(f"pipeline: {whole:.0f} s; unchanged {statistics.median(ratios):.1f} times `dvc version`")


@contextmanager
def checkout(in_place: bool) -> Iterator[str]:
    """The folder in which the pipeline runs."""
    if in_place:
        yield "."
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "--quiet", ".", folder], check=True)
        yield folder


def seconds_of_stages(folder: str) -> dict[str, float]:
    """Wall time of each stage of `dvc repro`, with DVC's own work before the next stage; ``dvc``: before the first."""
    command = ["dvc", "repro", "--force", "--no-run-cache"]
    starts = {"dvc": time.perf_counter()}
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if found := RUNNING.search(line):
                starts[found[1]] = time.perf_counter()
            sys.stderr.write(line)
    end = time.perf_counter()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    ends = [*starts.values(), end][1:]
    return {name: later - start for (name, start), later in zip(starts.items(), ends, strict=True)}


def seconds(folder: str, *command: str) -> float:
    """Wall time of a command that must succeed; its own output goes to standard error."""
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(exit_code(main))
