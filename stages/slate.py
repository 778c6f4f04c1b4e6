"""Slate: predict the films that are not out yet, as TMDB has them today, and keep the predictions.

The films are those that TMDB lists with a first release between two days or in the coming weeks, or those of a file of
TMDB ids. Needs TMDB_API_KEY or TMDB_ACCESS_TOKEN; rate, language and address are those of fetch.tmdb in params.yaml. A
command that was stopped goes on where it was, if it runs again on the same day (UTC).

data/slates/DATE.parquet  what was known of each film, what the model predicted, and by which model; never overwritten:
                          a second slate of a day is DATE-HHMMSS.parquet. No output of DVC, so that `dvc repro` keeps it
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from movie_ratings import params
from movie_ratings.core import clock, parquet, storage
from movie_ratings.core.command import exit_code, locked
from movie_ratings.core.errors import UserError
from movie_ratings.core.paths import MODEL, SLATES
from movie_ratings.movies.text import normalise
from movie_ratings.movies.validation import MovieError, ValidMovie, validated
from movie_ratings.params import Tmdb
from movie_ratings.prediction import slates, writer
from movie_ratings.prediction.classifier import Classifier
from movie_ratings.reports import slate_page
from movie_ratings.sources.fetch_report import FetchReport
from movie_ratings.sources.tmdb import credentials
from movie_ratings.sources.tmdb.archive import Archive
from movie_ratings.sources.tmdb.collector import collect_ids, collect_released
from movie_ratings.sources.tmdb.ids import planned
from movie_ratings.sources.tmdb.lookup import Film
from movie_ratings.sources.tmdb.movies import stored

PAGE: Final = ".html"
PRINTED: Final = 20  # films of the list that are printed
MOST_WEEKS: Final = 520  # ten years: TMDB dates hardly any film later
NAMED: Final = 5  # films without a prediction that are named


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.slate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example: python -m stages.slate --weeks 12 --output slate.html",
    )
    parser.add_argument("--from", dest="start", type=_day, metavar="DAY", help="first day of release, YYYY-MM-DD")
    parser.add_argument("--to", dest="end", type=_day, metavar="DAY", help="last day of release, YYYY-MM-DD")
    parser.add_argument(
        "--weeks",
        type=_weeks,
        metavar="N",
        help="in place of --from and --to: from today (UTC) to the same day N weeks later",
    )
    parser.add_argument("--ids", type=Path, metavar="FILE", help="the films with these TMDB ids, one a line")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help=f"also write the films, the best predicted rating first: {PAGE}, {', '.join(writer.FORMATS)}",
    )
    parser.add_argument("--model", default=MODEL, metavar="FOLDER", help="a served folder (default: %(default)s)")
    parser.add_argument("--rev", help="the model of this git revision, tag or stage (prod), from DVC's cache or remote")
    options = parser.parse_args(arguments)
    days = (options.start is not None, options.end is not None)
    if any(days) != all(days) or [all(days), options.weeks is not None, options.ids is not None].count(True) != 1:
        parser.error("give either --from and --to, or --weeks, or --ids")
    return exit_code(locked(lambda: slate(options), [SLATES]))


def slate(options: argparse.Namespace) -> None:
    if options.start is not None and options.start > options.end:
        raise UserError(f"--from {options.start}: later than --to {options.end}")
    if options.output is not None:
        if options.output.suffix.lower() != PAGE:
            writer.require_format(options.output)
        storage.require_no_folder(options.output)
    tmdb, asked = params.load().fetch.tmdb, clock.now()
    if options.weeks is not None:
        options.start, options.end = asked.date(), asked.date() + timedelta(weeks=options.weeks)
    credentials.load("stages.slate", "")  # before the work, as all that a user can correct
    classifier = Classifier.load(options.model, options.rev, precision="auto")
    kept = storage.store() / "slates"
    _remove_older(kept, f"{asked:%Y-%m-%d}")
    films = _films(options, tmdb, kept / f"{asked:%Y-%m-%d}")
    if not films:
        raise UserError("slate: TMDB lists no film that can be predicted; give other days or ids")
    table = slates.answered(classifier, films, asked)
    path = slates.place(Path(SLATES), asked)
    parquet.write_table(path, table)
    rows = slates.ranked(table)
    if options.output is not None:
        _write(options.output, rows, asked, classifier.version)
    storage.remove(kept)
    for row in rows[:PRINTED]:
        low, high = row["predicted_rating_low"], row["predicted_rating_high"]
        figures = f"{row['label']:<8} {row['predicted_rating']:4.1f} ({low:.1f} to {high:.1f})"
        print(f"{row['rank']:>3}  {figures}  {row['release_date'] or 'unknown'}  {normalise(row['title'] or '')[:60]}")
    print(f"slate: {len(rows):,} films, {path} written")


def _films(options: argparse.Namespace, tmdb: Tmdb, folder: Path) -> list[tuple[dict[str, Any], ValidMovie]]:
    """The record and the facts of each film; those without a prediction are named on standard error."""
    report = FetchReport()
    # The answers of one day, in a store of their own: another day has other facts.
    with Archive(folder, tmdb.api_url, tmdb.language) as archive:
        if options.ids is not None:
            chosen = {"ids": "file", "ids_path": str(options.ids), "sample": None, "limit": None}
            ids = planned(tmdb.model_copy(update=chosen), None)
            asyncio.run(collect_ids(archive, tmdb, ids))
        else:
            ids = asyncio.run(collect_released(archive, tmdb, options.start, options.end))
        records = [record for batch in stored(archive, ids, tmdb, report) for record in _rows(batch)]
    films, without = [], [f"TMDB movie {failed['id']}: {failed['reason']}" for failed in report.failed]
    for record in records:
        try:
            films.append((record, validated(Film(record).facts)))
        except MovieError as error:
            without.append(f"TMDB movie {record['id']}: {error.reason}")
    if report.counts["gone"]:
        print(f"slate: {report.counts['gone']:,} films are no longer at TMDB", file=sys.stderr)
    if without:
        more = "; …" if len(without) > NAMED else ""
        print(f"slate: {len(without):,} films left out: {'; '.join(without[:NAMED])}{more}", file=sys.stderr)
    return films


def _rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = batch.to_pylist()
    return rows


def _write(path: Path, rows: list[dict[str, Any]], asked: datetime, version: str) -> None:
    if path.suffix.lower() == PAGE:
        slate_page.write(path, rows, asked, version)
        return
    with writer.Writer(path) as file:
        file.write(rows)


def _remove_older(folder: Path, day: str) -> None:
    """Delete what stopped commands of other days have left."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name != day:
            storage.remove(path)


def _weeks(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_WEEKS:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to {MOST_WEEKS}, found {text[:40]!r}")
    return int(text)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a day as YYYY-MM-DD, found {text[:40]!r}") from None


if __name__ == "__main__":
    sys.exit(main())
