"""The sources of movies: one module a source; each yields batches of `movie_ratings.movies.record.MOVIE`.

A source is a module with the function ``batches(params, report) -> Iterator[pyarrow.RecordBatch]``. The function maps
the source's fields to the movie record and leaves the other fields null. A source neither filters by quality nor
removes duplicates: the stage clean does both.
"""

import importlib
from collections.abc import Iterator

import pyarrow as pa

from movie_ratings.params import Fetch
from movie_ratings.sources.fetch_report import FetchReport


def batches(params: Fetch, report: FetchReport) -> Iterator[pa.RecordBatch]:
    """The movies of ``params.source``, in the order of the source; ``report`` is complete after the last batch.

    Raises:
        UserError: the source cannot be downloaded or read, or is not in the expected form.
    """
    # Imported on demand, so that the libraries of one source are not imported for the others.
    source = importlib.import_module(f"movie_ratings.sources.{params.source}")
    found: Iterator[pa.RecordBatch] = source.batches(params, report)
    return found
