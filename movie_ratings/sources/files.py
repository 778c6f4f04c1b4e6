"""Movies from the user's own tables: CSV, TSV, JSON lines or Parquet, plain or compressed."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa

from movie_ratings.core import paths
from movie_ratings.params import Fetch
from movie_ratings.sources.fetch_report import FetchReport
from movie_ratings.sources.tables.records import record_batches, require_few_broken
from movie_ratings.sources.tables.table import tables

INPUTS: Final = Path(paths.INPUTS)  # a dependency of the stage in dvc.yaml


def batches(params: Fetch, report: FetchReport) -> Iterator[pa.RecordBatch]:
    """The rows of all files, in order.

    Raises:
        UserError: a file cannot be read, has no column for title, summary or rating, or too many rows are broken.
    """
    options = params.files
    report.counts = {"read": 0, "broken": 0}
    for path in options.paths:
        if not Path(path).absolute().is_relative_to(INPUTS.absolute()):
            print(f"{path}: not in {INPUTS}/, so that dvc will not see when it changes", file=sys.stderr)
        for table in tables(Path(path)):
            yield from record_batches(table, "files", options.mapping, options.rating_scale, report)
    require_few_broken("files", report, options.max_bad_share)
