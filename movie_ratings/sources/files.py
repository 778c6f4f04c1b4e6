"""Movies from the user's own tables: CSV, TSV, JSON lines or Parquet, plain or compressed."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from movie_ratings.params import Fetch
from movie_ratings.sources.fetch_report import FetchReport
from movie_ratings.sources.tables.records import record_batches, require_few_broken
from movie_ratings.sources.tables.table import tables


def batches(params: Fetch, report: FetchReport) -> Iterator[pa.RecordBatch]:
    """The rows of all files, in order.

    Raises:
        UserError: a file cannot be read, has no column for title, summary or rating, or too many rows are broken.
    """
    options = params.files
    report.counts = {"read": 0, "broken": 0}
    for path in options.paths:
        for table in tables(Path(path)):
            yield from record_batches(table, "files", options.mapping, options.rating_scale, report)
    require_few_broken("files", report, options.max_bad_share)
