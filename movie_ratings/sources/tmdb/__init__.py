"""Movies from The Movie Database, one request a movie, at the rate that it allows, resumable at any moment.

This product uses the TMDB API but is not endorsed or certified by TMDB.
"""

import asyncio
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from movie_ratings.core import storage
from movie_ratings.core.errors import UserError
from movie_ratings.movies.record import MOVIE
from movie_ratings.params import Fetch
from movie_ratings.sources.fetch_report import FetchReport
from movie_ratings.sources.tmdb.archive import Archive, Ids
from movie_ratings.sources.tmdb.collector import collect
from movie_ratings.sources.tmdb.details import Details, movie

BATCH = 1_000


def batches(params: Fetch, report: FetchReport) -> Iterator[pa.RecordBatch]:
    """The planned movies by id, as TMDB described them; those that it no longer has are left out and counted.

    Raises:
        UserError: see `collect`; or more than ``max_failed_share`` of the movies could not be had.
    """
    folder = storage.store() / "tmdb"
    with Archive(folder, params.tmdb.api_url, params.tmdb.language) as archive:
        ids = asyncio.run(collect(archive, params.tmdb, folder / "exports"))
        gone = np.intersect1d(ids, archive.gone(), assume_unique=True)
        report.failed = [
            {"id": movie_id, "reason": reason} for movie_id, reason in archive.failures() if _holds(ids, movie_id)
        ]
        report.counts = {"planned": len(ids), "gone": len(gone), "failed": len(report.failed)}
        if len(report.failed) > params.tmdb.max_failed_share * len(ids):
            raise UserError(
                f"fetch.tmdb.max_failed_share: {len(report.failed):,} of {len(ids):,} movies could not be had "
                f"(the first: {report.failed[0]['id']}, {report.failed[0]['reason']}); run again to try them again"
            )
        yield from _compacted(archive, ids, params.tmdb.cast_size)


def _compacted(archive: Archive, ids: Ids, cast_size: int) -> Iterator[pa.RecordBatch]:
    batch = []
    for movie_id, details in archive.details():
        if _holds(ids, movie_id):
            batch.append(movie(Details.model_validate_json(details), cast_size))
        if len(batch) == BATCH:
            yield pa.RecordBatch.from_pylist(batch, MOVIE)
            batch = []
    yield pa.RecordBatch.from_pylist(batch, MOVIE)


def _holds(ids: Ids, movie_id: int) -> bool:
    """Whether ``ids``, which rise, hold ``id``."""
    place = int(np.searchsorted(ids, movie_id))
    return place < len(ids) and bool(ids[place] == movie_id)
