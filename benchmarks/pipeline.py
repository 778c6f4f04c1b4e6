"""Pipeline times: `dvc repro` from nothing in a fresh clone, and with nothing changed against `dvc version`.

The clone is of the committed state, in a temporary folder, with the environment that runs this. Writes
benchmarks/results/pipeline.json.
"""

import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks import _results
from movie_ratings.core.command import run_stage

OUTPUT = str(_results.path("pipeline"))
ROUNDS = 5


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "--quiet", ".", folder], check=True)
        whole = seconds(folder, "dvc", "repro", "--force", "--no-run-cache")
        unchanged, version = [], []
        for _ in range(ROUNDS):
            unchanged.append(seconds(folder, "dvc", "repro"))
            version.append(seconds(folder, "dvc", "version"))
    ratios = [ours / theirs for ours, theirs in zip(unchanged, version, strict=True)]
    _results.write(
        "pipeline",
        {
            "repro_from_nothing_seconds": whole,
            "unchanged_repro_over_dvc_version": {
                "min": min(ratios),
                "median": statistics.median(ratios),
                "max": max(ratios),
            },
        },
    )
    print(f"pipeline: {whole:.0f} s; unchanged {statistics.median(ratios):.1f} times `dvc version`")


def seconds(folder: str, *command: str) -> float:
    """Wall time of a command that must succeed; its own output goes to standard error."""
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)
    return time.perf_counter() - start


if __name__ == "__main__":
    run_stage(main, [OUTPUT])
