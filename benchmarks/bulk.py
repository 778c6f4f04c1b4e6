"""A table of movies predicted by `predict --input`: a million movies extrapolated, memory, and where the time goes.

The movies are those of the test and validation splits, repeated; `predict --input` keeps no prediction for later.
Four tables of equal size are predicted, and one of a fifth of this size, each by a process of its own. The rate of a
million movies is the mean of the four, with a 95% interval from their differences (Student's t). Then one process times
each step of 1,000 movies by itself. Writes benchmarks/results/bulk.json. Requires the pipeline's outputs (dvc repro).
"""

import argparse
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from scipy.stats import t
from tqdm import tqdm

from benchmarks import _results
from benchmarks._memory import peak_megabytes
from movie_ratings.core.command import exit_code
from movie_ratings.core.paths import MODEL
from movie_ratings.model import linear
from movie_ratings.movies import splits
from movie_ratings.movies.release import with_year
from movie_ratings.prediction import bulk
from movie_ratings.prediction.classifier import Classifier
from movie_ratings.prediction.movie_table import MovieTable
from movie_ratings.prediction.writer import Writer

TABLES: Final = 4
SMALL: Final = 5  # times smaller is the table that shows what memory grows with
MILLION: Final = 1_000_000
TIMED: Final = 1_000  # movies whose steps are timed
ROUNDS: Final = 3
POLL: Final = 0.05  # seconds between two looks at the memory


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bulk", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--movies", type=int, default=20_000, help="in all four tables (default: %(default)s)")
    count = parser.parse_args().movies // TABLES
    with tempfile.TemporaryDirectory() as folder:
        source, small, few = (Path(folder, name) for name in ("movies.parquet", "small.parquet", "few.parquet"))
        for path, rows in ((source, count), (small, count // SMALL), (few, TIMED)):
            write_movies(path, rows)
        classifier = Classifier.load(MODEL, precision="auto")
        runs = [predicted(source) for _ in tqdm(range(TABLES), desc="tables", unit=" tables")]
        found = {
            "movies": count,
            "tables": TABLES,
            "precision": classifier.precision,
            "million_minutes": extrapolated([MILLION / run["movies_per_second"] / 60 for run in runs]),
            "megabytes": {
                str(count // SMALL): predicted(small)["megabytes"],
                str(count): max(run["megabytes"] for run in runs),
            },
            "milliseconds": steps(classifier, few, Path(folder, "predicted.parquet")),
        }
    _results.write("bulk", found)
    figures = found["million_minutes"]
    print(f"bulk: a million movies in {figures['mean']:.0f} minutes ({figures['low']:.0f} to {figures['high']:.0f})")


def write_movies(path: Path, count: int) -> None:
    """Write ``count`` movies of the test and validation splits to ``path``, from the first one again after the last."""
    table = pa.concat_tables([splits.read(split) for split in ("test", "validation")]).drop_columns(["label"])
    rows = list(islice(cycle(range(table.num_rows)), count))
    pq.write_table(table.take(rows), path)


def predicted(source: Path) -> dict[str, float]:
    """Movies a second of `predict --input`, from process start to exit, and its peak of resident memory."""
    target = source.with_suffix(".predicted.parquet")
    command = [sys.executable, "-m", "stages.predict", "--input", str(source), "--output", str(target)]
    started, megabytes = time.perf_counter(), 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            with suppress(AssertionError, FileNotFoundError):  # it has just ended
                megabytes = peak_megabytes(process.pid)
            time.sleep(POLL)
    seconds = time.perf_counter() - started
    assert process.returncode == 0
    return {"movies_per_second": pq.read_metadata(target).num_rows / seconds, "megabytes": megabytes}


def extrapolated(values: list[float]) -> dict[str, float]:
    """The mean of ``values`` and its 95% interval."""
    mean = statistics.fmean(values)
    error = float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return {"mean": mean, "low": mean - error, "high": mean + error}


def steps(classifier: Classifier, source: Path, target: Path) -> dict[str, float]:
    """Milliseconds a movie of each step, the median of several rounds."""
    part = linear.read(MODEL)
    classifier.answer([{"title": "warms up"}])
    rounds = [one_round(classifier, part, source, target) for _ in range(ROUNDS)]
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def one_round(classifier: Classifier, part: linear.LinearPart, source: Path, target: Path) -> dict[str, float]:
    """Milliseconds a movie of each step; ``transformer`` is what tokens and linear part leave of the logits' time."""
    took: dict[str, float] = {}

    def timed(name: str, call: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = call()
        took[name] = (time.perf_counter() - started) / TIMED * 1_000
        return result

    (batch,) = timed("reading and checking", lambda: list(MovieTable(source).batches(TIMED)))
    movies = [with_year(movie) for movie in batch.movies]
    timed("tokens", lambda: classifier.encode(movies))
    timed("linear part", lambda: part.logits(movies))
    logits = timed("transformer", lambda: classifier.logits(movies))
    took["transformer"] -= took["tokens"] + took["linear part"]
    found = timed("calibration and rating", lambda: classifier.predictions(movies, logits))
    timed("writing", lambda: write(target, bulk.joined(batch.rows, list(map(bulk.columns, found)))))
    return took


def write(target: Path, rows: list[dict[str, Any]]) -> None:
    with Writer(target, {}) as writer:
        writer.write(rows)


if __name__ == "__main__":
    sys.exit(exit_code(main))
