"""Movies from The Movie Database: one request a movie, at the rate that TMDB allows, resumable at any moment.

This product uses the TMDB API but is not endorsed or certified by TMDB.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from movie_ratings.params import Fetch
    from movie_ratings.sources.fetch_report import FetchReport


def batches(params: "Fetch", report: "FetchReport") -> "Iterator[pa.RecordBatch]":
    """The planned movies by id; see `movies.batches`."""
    # Imported on demand: looking up one movie (`lookup`) needs neither the collector nor its libraries.
    from movie_ratings.sources.tmdb import movies

    return movies.batches(params, report)
