"""The movies of the source: what the archive holds of the planned ids, as movie records."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from movie_ratings.core import storage
from movie_ratings.core.errors import UserError
from movie_ratings.movies.record import MOVIE
from movie_ratings.params import Fetch, Tmdb
from movie_ratings.sources.fetch_report import FetchReport
from movie_ratings.sources.tmdb.archive import Archive, Ids
from movie_ratings.sources.tmdb.collector import collect, collect_again
from movie_ratings.sources.tmdb.details import Details, movie, parse

BATCH = 1_000


def batches(params: Fetch, report: FetchReport) -> Iterator[pa.RecordBatch]:
    """The planned movies by id, as TMDB describes them; movies that TMDB no longer has are left out and counted.

    Raises:
        UserError: see `collect`; or more than ``max_failed_share`` of the movies have no valid answer.
    """
    folder = storage.store() / "tmdb"
    with Archive(folder, params.tmdb.api_url, params.tmdb.language) as archive:
        ids = asyncio.run(collect(archive, params.tmdb, folder / "exports"))
        yield from stored(archive, ids, params.tmdb, report)


def stored(archive: Archive, ids: Ids, params: Tmdb, report: FetchReport) -> Iterator[pa.RecordBatch]:
    """The movies of ``ids``, which rise and have been collected into ``archive``; the last batch may be empty.

    Raises:
        UserError: more than ``max_failed_share`` of the movies have no valid answer.
    """
    _account(archive, ids, params, report)  # an outage is reported before the long work of reading
    batch = []
    for details in _valid(archive, ids, params):
        batch.append(movie(details, params.cast_size))
        if len(batch) == BATCH:
            yield pa.RecordBatch.from_pylist(batch, MOVIE)
            batch = []
    _account(archive, ids, params, report)
    yield pa.RecordBatch.from_pylist(batch, MOVIE)


def _account(archive: Archive, ids: Ids, params: Tmdb, report: FetchReport) -> None:
    """Fill the report.

    Raises:
        UserError: too many movies failed.
    """
    gone = np.intersect1d(ids, archive.gone(), assume_unique=True)
    report.failed = [
        {"id": movie_id, "reason": reason} for movie_id, reason in archive.failures() if _holds(ids, movie_id)
    ]
    report.counts = {"planned": len(ids), "gone": len(gone), "failed": len(report.failed)}
    if len(report.failed) > params.max_failed_share * len(ids):
        raise UserError(
            f"fetch.tmdb.max_failed_share: {len(report.failed):,} of {len(ids):,} movies could not be had "
            f"(the first: {report.failed[0]['id']}, {report.failed[0]['reason']}); run again to try them again"
        )


def _valid(archive: Archive, ids: Ids, params: Tmdb) -> Iterator[Details]:
    """The stored details of ``ids``, rising. Stored answers that are not valid are requested again.

    Such answers come from a version of this program that checked less, or from a damaged disk.
    """
    last = 0
    while stored := archive.details(last, BATCH):
        read = {movie_id: _parsed(movie_id, text) for movie_id, text in stored if _holds(ids, movie_id)}
        invalid = [movie_id for movie_id, details in read.items() if details is None]
        if invalid:
            asyncio.run(collect_again(archive, params, np.array(invalid, dtype=np.int64)))
            # Fewer may be found than before, so that this part of the archive reaches further: `read` says which count.
            again = archive.details(last, BATCH)
            read |= {movie_id: _parsed(movie_id, text) for movie_id, text in again if movie_id in read}
        last = stored[-1][0]
        yield from (details for details in read.values() if details is not None)


def _parsed(movie_id: int, text: bytes) -> Details | None:
    try:
        return parse(text, movie_id)
    except ValidationError:
        return None


def _holds(ids: Ids, movie_id: int) -> bool:
    """Whether ``ids``, which rise, hold ``movie_id``."""
    place = int(np.searchsorted(ids, movie_id))
    return place < len(ids) and bool(ids[place] == movie_id)
