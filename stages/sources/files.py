"""Movies from the user's own tables: CSV, TSV, JSON lines or Parquet, plain or packed."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from stages.params import Fetch
from stages.sources.report import Report
from stages.sources.tables import tables
from stages.sources.tabular import movies, require_few_broken


def batches(params: Fetch, report: Report) -> Iterator[pa.RecordBatch]:
    """The rows of all files, in order.

    Raises:
        UserError: a file cannot be read, has no column for title, summary or rating, or too many rows are broken.
    """
    options = params.files
    report.counts = {"read": 0, "broken": 0}
    for path in options.paths:
        for table in tables(Path(path)):
            yield from movies(table, "files", options.mapping, options.rating_scale, report)
    require_few_broken(report, options.max_bad_share)
