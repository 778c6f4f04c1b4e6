"""The year of release. A model reads the year alone, so every reader of movies derives it here from the day.

The movie record stores the day of release, because sources publish days and other readers may need them. The files
under data/ hold the record as it is; ``year`` exists in memory only.
"""

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

Columns = TypeVar("Columns", "pa.Table", "pa.RecordBatch")


def add_year(movies: Columns) -> Columns:
    """The same rows with a last column ``year`` (int32), derived from ``release_date``; null where the day is null."""
    import pyarrow as pa  # here, because one prediction derives years too and must not load it
    import pyarrow.compute as pc

    return movies.append_column(pa.field("year", pa.int32()), pc.year(movies["release_date"]).cast(pa.int32()))


def with_year(movie: Mapping[str, Any]) -> Mapping[str, Any]:
    """The movie of a request or of a user's file with its ``year``.

    A given year wins. Otherwise the year is that of ``release_date``: a date, or text such as "1994-05-25", as JSON and
    CSV hold it. Text that is no date gives no year.
    """
    released = movie.get("release_date")
    if released is None or movie.get("year") is not None:
        return movie
    if isinstance(released, str):
        try:
            released = date.fromisoformat(released)
        except ValueError:
            return movie
    return {**movie, "year": released.year} if isinstance(released, date) else movie
