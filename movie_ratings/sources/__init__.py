"""Where movies come from: one module a source, all yielding batches of `movie_ratings.movies.record.MOVIE`.

A source is a module with one function, ``batches(params, report) -> Iterator[pyarrow.RecordBatch]``. It maps what it
has to the movie record and leaves the rest null; it neither filters by quality nor removes duplicates, which is clean's
work.
"""

import importlib
from collections.abc import Iterator

import pyarrow as pa

from movie_ratings.params import Fetch
from movie_ratings.sources.fetch_report import FetchReport


def batches(params: Fetch, report: FetchReport) -> Iterator[pa.RecordBatch]:
    """The movies of ``params.source``, in that source's order; ``report`` is complete when they are through.

    Raises:
        UserError: the source cannot be had or does not hold what it should.
    """
    # Imported when asked for, so that one source's needs are not everybody's.
    source = importlib.import_module(f"movie_ratings.sources.{params.source}")
    found: Iterator[pa.RecordBatch] = source.batches(params, report)
    return found
