"""Monitor: are the movies that come still those that the model was trained on, and are its predictions still right?

Compares the log of a service (python -m serving --log FOLDER), or any table of movies, with the training movies of
data/: the content of each field, the movies without it, the names that no training movie has, and the mix of answers,
each by its population stability index. Of predictions whose true rating or label has come, calibration and coverage of
the intervals are checked. A log without texts has no content and no names to compare.

OUTPUT/monitor.html  the page
OUTPUT/monitor.json  the same figures
OUTPUT/monitor.prom  gauges, for the textfile collector of Prometheus' node exporter

Exit codes: 0 no alarm, 3 an alarm stands, 2 a problem that the message names, 130 interrupted.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from movie_ratings import params
from movie_ratings.core import storage
from movie_ratings.core.command import exit_code
from movie_ratings.core.errors import UserError
from movie_ratings.core.paths import PREDICTIONS
from movie_ratings.movies import splits
from movie_ratings.movies.text import FIELDS

if TYPE_CHECKING:
    from movie_ratings.monitoring.report import Report
    from movie_ratings.monitoring.summary import Summary

EXIT_ALARM: Final = 3
MOST: Final = 50_000  # training movies, at most, that are compared
BATCH: Final = 1_000


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.monitor", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--log", type=Path, metavar="FOLDER", help="the log of a service")
    source.add_argument(
        "--table", type=Path, metavar="FILE", help="a table of movies, such as a newer data/clean/movies.parquet"
    )
    parser.add_argument(
        "--days", type=float, default=30.0, help="of the log: only the last days count (default: %(default)g)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("data/monitor"), metavar="FOLDER", help="(default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    alarms: list[str] = []

    def run() -> None:
        alarms.extend(monitor(options))

    return exit_code(run) or (EXIT_ALARM if alarms else 0)


def monitor(options: argparse.Namespace) -> list[str]:
    """Write the three files and return the alarms.

    Raises:
        UserError: the pipeline's outputs in data/ are missing, or the log or the table cannot be read.
    """
    from movie_ratings.monitoring import report  # scikit-learn and Polars: not for --help

    if not options.days > 0:
        raise UserError(f"--days: more than 0, found {options.days:g}")
    if options.output.exists() and not options.output.is_dir():
        raise UserError(f"--output {options.output}: a file of this name exists")
    found = compared(options)
    with storage.whole(options.output / "monitor.html") as path:
        path.write_text(report.page(found), encoding="utf-8")
    storage.write_json(options.output / "monitor.json", report.as_dict(found))
    with storage.whole(options.output / "monitor.prom") as path:
        path.write_bytes(report.prometheus(found, time.time()))
    for note in found.notes:
        print(f"monitor: {note}", file=sys.stderr)
    for alarm in found.alarms:
        print(f"monitor: alarm: {alarm}", file=sys.stderr)
    print(f"monitor: {found.movies:,} movies, {len(found.alarms)} alarms; {options.output / 'monitor.html'} written")
    return found.alarms


def compared(options: argparse.Namespace) -> "Report":
    """Compare the log or the table with the training movies.

    Raises:
        UserError: as `monitor`.
    """
    from movie_ratings.monitoring import drift, predictions, served, truth
    from movie_ratings.monitoring.report import Report
    from movie_ratings.monitoring.summary import Summary
    from movie_ratings.movies.rows import Movies

    settings = params.load()
    read = {*settings.text.fields, *(settings.linear.names if settings.linear.use else ())}
    fields = [field for field in FIELDS if field in read]
    thresholds = splits.read_thresholds()
    # The log or the table first: what is wrong with them shows before the training movies are read.
    log = served.read_log(options.log, options.days, fields, thresholds) if options.log else None
    movies = log.movies if log else table_summary(options.table, fields)
    if movies.rows < drift.FEWEST:
        raise UserError(
            f"{options.log or options.table}: {movies.rows} different movies, and a comparison needs {drift.FEWEST}"
        )
    train, held_out = (Summary.of(Movies(splits.read(name, MOST)), fields) for name in ("train", "validation"))
    drifts, notes = drift.of_movies(train, held_out, movies), []
    if movies.contents < drift.FEWEST:
        notes.append("content and names are not compared: the log has no texts (serving --log-texts keeps them)")
    found = None
    if log:
        if Path(PREDICTIONS).exists():
            text = Path(PREDICTIONS).read_text(encoding="utf-8")
            before = predictions.called(predictions.parse(text, PREDICTIONS))
            answers = drift.of_answers(before, log.labels)
            drifts += [answers] if answers else []
        else:
            notes.append(f"the mix of answers is not compared: {PREDICTIONS} is not here")
        found = truth.judged(log.labelled, log.rated, settings.evaluate.seed)
        if found.labels < drift.FEWEST:
            notes.append(
                f"calibration and coverage are not checked: {found.labels} predictions have a true label or rating, "
                f"and {drift.FEWEST} are needed"
            )
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    versions = log.versions if log else {}
    return Report(str(options.log or options.table), now, movies.rows, versions, drifts, found, notes)


def table_summary(path: Path, fields: Sequence[str]) -> "Summary":
    """The summary of the movies of a table.

    Raises:
        UserError: the table cannot be read; the message names the row.
    """
    from movie_ratings.monitoring.summary import Summary
    from movie_ratings.prediction.movie_table import MovieTable

    return Summary.of((movie for batch in MovieTable(path).batches(BATCH) for movie in batch.movies), fields)


if __name__ == "__main__":
    sys.exit(main())
