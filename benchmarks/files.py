"""Reading a million rows with fetch.source files, beside the plain pandas reader of the same file.

Writes benchmarks/results/files.json: seconds of each, in turns, the ratio round by round, and the peak memory of ours.
``read`` ends with the movies in memory, as pandas does; ``read_and_write`` with a Parquet file, by pandas too.
"""

import csv
import itertools
import json
import multiprocessing
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas
import pyarrow as pa
from tqdm import tqdm

from benchmarks import _results
from benchmarks._memory import peak_megabytes
from movie_ratings import params
from movie_ratings.core import parquet
from movie_ratings.core.command import run_stage
from movie_ratings.movies.record import MOVIE
from movie_ratings.sources import selected
from movie_ratings.sources.fetch_report import FetchReport

Task = Callable[[str], None]

OUTPUT = str(_results.path("files"))
ROWS = 1_000_000
ROUNDS = 5
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
        found = {
            "rows": ROWS,
            "megabytes": path.stat().st_size / 1e6,
            "read": compared(str(path), read, pandas_read),
            "read_and_write": compared(str(path), read_and_write, pandas_read_and_write),
        }
    _results.write("files", found)
    print(json.dumps(found, indent=2))


def compared(path: str, ours: Task, pandas: Task) -> dict[str, Any]:
    """Both in turns; the ratio is that of each round."""
    seconds: dict[str, list[float]] = {"ours": [], "pandas": []}
    peak = 0.0
    for _ in tqdm(range(ROUNDS), desc=ours.__name__):
        for name, task in (("ours", ours), ("pandas", pandas)):
            took, memory = measured(task, path)
            seconds[name].append(took)
            peak = max(peak, memory if name == "ours" else 0)
    ratios = [theirs / mine for mine, theirs in zip(seconds["ours"], seconds["pandas"], strict=True)]
    return {
        "seconds": {name: statistics.median(took) for name, took in seconds.items()},
        "speed_over_pandas": {"min": min(ratios), "median": statistics.median(ratios), "max": max(ratios)},
        "peak_megabytes": peak,
    }


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


def measured(task: Task, path: str) -> tuple[float, float]:
    """Seconds and peak megabytes of a task in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (task, path))


def read(path: str) -> None:
    """What the source does: read and convert."""
    for _ in _movies(path):
        pass


def read_and_write(path: str) -> None:
    """What the stage does."""
    parquet.write_batches(Path(path).with_suffix(".parquet"), _movies(path), MOVIE)


def pandas_read(path: str) -> None:
    """Read, and nothing else."""
    pandas.read_csv(path)


def pandas_read_and_write(path: str) -> None:
    """Read, and write as storage does."""
    pandas.read_csv(path).to_parquet(f"{path}.parquet", compression="zstd", row_group_size=parquet.ROW_GROUP)


def _movies(path: str) -> Iterator[pa.RecordBatch]:
    fetch = params.load().fetch
    files = fetch.files.model_copy(update={"paths": [path]})
    return selected.batches(fetch.model_copy(update={"source": "files", "files": files}), FetchReport())


def _head(path: str) -> bytes:
    with open(path, "rb") as file:
        return b"".join(itertools.islice(file, 100))


def _measure(task: Task, path: str) -> tuple[float, float]:
    # The first call of anything is slow, here as in pandas.
    Path(f"{path}.head.csv").write_bytes(_head(path))
    task(f"{path}.head.csv")
    start = time.monotonic()
    task(path)
    return time.monotonic() - start, peak_megabytes()


if __name__ == "__main__":
    run_stage(main, [OUTPUT])
