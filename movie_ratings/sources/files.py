"""Movies from the user's own tables: the formats of `movie_ratings.sources.tables.table`, plain or compressed."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from movie_ratings.params import Fetch
from movie_ratings.sources.fetch_report import FetchReport
from movie_ratings.sources.tables import records
from movie_ratings.sources.tables.table import tables


def batches(params: Fetch, report: FetchReport) -> Iterator[pa.RecordBatch]:
    """The rows of all files, in order.

    Raises:
        UserError: as `records.batches`.
    """
    options = params.files
    found = [table for path in options.paths for table in tables(Path(path), options.encoding)]
    yield from records.batches(found, "files", options, report)
