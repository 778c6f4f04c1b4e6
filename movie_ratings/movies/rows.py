"""Movies of a table as dictionaries that are made when they are looked at: a million of them at once fill a laptop."""

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
    """The rows of ``table``, those of ``facts`` left out of each that ``left_out`` (rows, facts) says."""

    table: pa.Table
    facts: tuple[str, ...] = ()
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
            return Movies(self.table.slice(rows.start, len(rows)), self.facts, left_out)
        return next(iter(self[place : place + 1]))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for first in range(0, len(self), CHUNK):
            for place, movie in enumerate(self.table.slice(first, CHUNK).to_pylist(), first):
                yield movie if self.left_out is None else without(movie, self._left_out_of(place))

    def take(self, rows: Ints) -> "Movies":
        """These movies alone."""
        return Movies(self.table.take(rows), self.facts, None if self.left_out is None else self.left_out[rows])

    def without(self, facts: Sequence[str], left_out: Bools) -> "Movies":
        """The same movies, some of ``facts`` left out of each: where ``left_out`` (rows, facts) is true."""
        return Movies(self.table, tuple(facts), left_out)

    def __add__(self, other: "Movies") -> "Movies":
        facts = self.facts or other.facts
        parts = [
            np.zeros((len(part), len(facts)), dtype=np.bool_) if part.left_out is None else part.left_out
            for part in (self, other)
        ]
        return Movies(pa.concat_tables([self.table, other.table]), facts, np.concatenate(parts))

    def _left_out_of(self, row: int) -> list[str]:
        assert self.left_out is not None
        return [fact for fact, out in zip(self.facts, self.left_out[row], strict=True) if out]


def evenly_spaced(rows: int, most: int) -> Ints:
    """At most ``most`` row numbers at even distances over a table of ``rows`` rows, in rising order."""
    return np.unique(np.linspace(0, rows - 1, min(rows, most)).round().astype(np.int64))


def within(wanted: Ints, first: int, rows: int) -> Ints:
    """Where the ``wanted`` row numbers, in order, stand in a batch of so many ``rows`` that begins at ``first``."""
    return wanted[np.searchsorted(wanted, first) : np.searchsorted(wanted, first + rows)] - first
