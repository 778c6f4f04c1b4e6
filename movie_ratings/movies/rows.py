"""Movies of a table as dictionaries, each made when it is read: a million at once would fill a laptop's memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, overload

import numpy as np
import pyarrow as pa

from movie_ratings.core.arrays import Bools, Ints
from movie_ratings.movies.text import without

CHUNK: Final = 1_000  # dictionaries that are made at a time


@dataclass(frozen=True)
class Movies(Sequence[dict[str, Any]]):
    """The rows of ``table`` as dictionaries.

    Where ``left_out`` (rows, fields) is true, the row has None in this one of ``fields``.
    """

    table: pa.Table
    fields: tuple[str, ...] = ()
    left_out: Bools | None = None

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @overload
    def __getitem__(self, place: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> "Movies": ...
    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            rows = range(*place.indices(len(self)))
            if rows.step != 1:
                return self.take(np.array(rows, dtype=np.int64))
            left_out = None if self.left_out is None else self.left_out[rows.start : rows.stop]
            return Movies(self.table.slice(rows.start, len(rows)), self.fields, left_out)
        return next(iter(self[place : place + 1]))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for first in range(0, len(self), CHUNK):
            for place, movie in enumerate(self.table.slice(first, CHUNK).to_pylist(), first):
                yield movie if self.left_out is None else without(movie, self._left_out_of(place))

    def take(self, rows: Ints) -> "Movies":
        """The movies with these row numbers."""
        return Movies(self.table.take(rows), self.fields, None if self.left_out is None else self.left_out[rows])

    def without(self, fields: Sequence[str], left_out: Bools) -> "Movies":
        """The same movies, each without those of ``fields`` for which ``left_out`` (rows, fields) is true."""
        return Movies(self.table, tuple(fields), left_out)

    def __add__(self, other: "Movies") -> "Movies":
        fields = self.fields or other.fields
        parts = [
            np.zeros((len(part), len(fields)), dtype=np.bool_) if part.left_out is None else part.left_out
            for part in (self, other)
        ]
        return Movies(pa.concat_tables([self.table, other.table]), fields, np.concatenate(parts))

    def _left_out_of(self, row: int) -> list[str]:
        assert self.left_out is not None
        return [field for field, out in zip(self.fields, self.left_out[row], strict=True) if out]


def evenly_spaced(rows: int, most: int) -> Ints:
    """At most ``most`` row numbers at even distances over a table of ``rows`` rows, in rising order."""
    return np.unique(np.linspace(0, rows - 1, min(rows, most)).round().astype(np.int64))


def within(wanted: Ints, first: int, rows: int) -> Ints:
    """The positions in a batch of those ``wanted`` rows that it holds; the batch has ``rows`` rows from ``first`` on.

    ``wanted`` holds row numbers of the whole table in rising order.
    """
    return wanted[np.searchsorted(wanted, first) : np.searchsorted(wanted, first + rows)] - first
