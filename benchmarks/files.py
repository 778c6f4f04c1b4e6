"""Reading a million rows with fetch.source files, beside the plain pandas reader of the same file.

Writes benchmarks/files.json: seconds of each, in turns, the ratio round by round, and the peak memory of ours.
"""

import csv
import json
import multiprocessing
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks._memory import peak_megabytes
from stages import params, sources, storage
from stages.command import run_stage
from stages.schema import MOVIE
from stages.sources.report import Report

OUTPUT = "benchmarks/files.json"
ROWS = 1_000_000
ROUNDS = 3
COLUMNS = (
    "id", "title", "vote_average", "vote_count", "status", "release_date", "runtime", "adult", "original_language",
    "original_title", "overview", "popularity", "genres", "spoken_languages",
)  # fmt: skip
GENRES = ("Drama", "Comedy", "Crime", "Science Fiction", "Horror", "Documentary", "Animation")
WORDS = ("harbour", "night", "sister", "engine", "winter", "letter", "garden", "river", "soldier", "island", "train")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "movies.csv")
        write(path)
        seconds: dict[str, list[float]] = {"ours": [], "pandas": []}
        peak = 0.0
        for _ in range(ROUNDS):
            for name, read in (("ours", ours), ("pandas", pandas)):
                took, memory = measured(read, str(path))
                seconds[name].append(took)
                peak = max(peak, memory if name == "ours" else 0)
        ratios = [theirs / mine for mine, theirs in zip(seconds["ours"], seconds["pandas"], strict=True)]
        found = {
            "rows": ROWS,
            "megabytes": path.stat().st_size / 1e6,
            "seconds": {name: statistics.median(took) for name, took in seconds.items()},
            "speed_over_pandas": {"min": min(ratios), "median": statistics.median(ratios), "max": max(ratios)},
            "peak_megabytes": peak,
        }
    storage.write_json(OUTPUT, found)
    print(json.dumps(found, indent=2))


def write(path: Path) -> None:
    """A table like the Kaggle dumps, of generated text."""
    generator = random.Random(0)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for n in range(ROWS):
            words = " ".join(generator.choices(WORDS, k=50))
            day = f"{1950 + n % 75}-{1 + n % 12:02}-{1 + n % 28:02}"
            genres = ", ".join(generator.sample(GENRES, 2))
            title = f"The {generator.choice(WORDS)} of {n}"
            facts = [n, title, n % 101 / 10, n % 977, "Released", day, 60 + n % 90, "False", "en", title]
            writer.writerow([*facts, f"“{words}”, she said.", n % 997 / 7, genres, "English, French"])


def measured(read: Callable[[str], None], path: str) -> tuple[float, float]:
    """Seconds and peak megabytes of reading in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (read, path))


def ours(path: str) -> None:
    """What the stage does: read, convert, write Parquet."""
    fetch = params.load().fetch
    files = fetch.files.model_copy(update={"paths": [path]})
    batches = sources.batches(fetch.model_copy(update={"source": "files", "files": files}), Report())
    storage.write_batches(Path(path).with_suffix(".parquet"), batches, MOVIE)


def pandas(path: str) -> None:
    """Read, and nothing else."""
    from pandas import read_csv

    read_csv(path)


def _measure(read: Callable[[str], None], path: str) -> tuple[float, float]:
    start = time.monotonic()
    read(path)
    return time.monotonic() - start, peak_megabytes()


if __name__ == "__main__":
    run_stage(main, [OUTPUT])
