"""The movies of a table, a batch at a time: the reader of fetch, with no tolerance for broken rows."""

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa

from movie_ratings.core.errors import UserError, first_line
from movie_ratings.movies import text
from movie_ratings.movies.validation import MovieError, ValidMovie, validated
from movie_ratings.sources.tables.chunks import SMALL, Chunk
from movie_ratings.sources.tables.columns import Fields
from movie_ratings.sources.tables.reader import Options, Reader, TableReport
from movie_ratings.sources.tables.table import reading, require_distinct, tables

# Of the movie record: the fields from which the fields of a request follow. A table needs a title or a summary.
FIELDS: Final = Fields(
    names=tuple("release_date" if field == "year" else field for field in text.FIELDS),
    needed=(("title", "summary"),),
)


def field_of(name: str) -> str | None:
    """The field of the movie record that a person means by ``name``: a year is in the release date. None for no field.

    The keys of a mapping of columns are such fields.
    """
    field = "release_date" if name == "year" else name
    return field if field in FIELDS.names else None


def reading_of(mapping: Mapping[str, Any], parameter: str) -> Options:
    """How a table is read for predictions; see `Options`."""
    return Options("predict", FIELDS, mapping, parameter)


def read_movies(reader: Reader, chunk: Chunk, report: TableReport, place: Callable[[int], str]) -> list[ValidMovie]:
    """The movies of a chunk that has no broken rows; ``report`` counts its rows.

    ``place`` gives the place of a row in messages, of its line or number.

    Raises:
        UserError: a row holds no movie, or a value that no movie has; the message names the row.
    """
    found, broken = reader.convert(chunk)
    if broken:
        raise UserError(f"{place(broken[0].line)}: {broken[0].reason}")
    report.add(chunk, found, 0)
    movies = []
    for number, record in enumerate(found.movies.select(FIELDS.names).to_pylist()):
        released = record.pop("release_date")
        try:
            movies.append(validated(record | {"year": released and released.year}))
        except MovieError as error:
            raise error.at(place(chunk.lines()[number])) from None
    return movies


class Batch(NamedTuple):
    """Movies as the model reads them, and the rows of the table, all columns included."""

    movies: list[ValidMovie]
    rows: list[dict[str, Any]]


class MovieTable:
    """A table of movies: every format that `movie_ratings.sources.tables.table` reads.

    ``report`` says which columns were read as which fields; it is complete after the last batch.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str | None = None,
        mapping: Mapping[str, Any] | None = None,
        parameter: str = "mapping",
        encoding: str = "auto",
    ):
        """Choose the columns.

        ``name`` stands for the path in messages. ``mapping`` has the columns of fields whose columns have other names,
        and ``parameter`` is where a user writes the mapping.

        Raises:
            UserError: the table cannot be read, or has neither a title nor a summary; or ``path`` is an archive with
                several tables.
        """
        self._given = functools.partial(
            MovieTable, path.absolute(), name=name or str(path), mapping=mapping, parameter=parameter, encoding=encoding
        )
        self.path = path
        found = tables(path, encoding)
        if len(found) > 1:
            raise UserError(f"{name or path}: {len(found)} tables; name one of them, such as {found[0]}")
        self._table = replace(found[0], name=name, keeps_rows=True, size=SMALL)
        self._reader = Reader(self._table, reading_of(mapping or {}, parameter))
        self.report: TableReport = self._reader.report()
        self.columns = self._reader.names
        with reading(self._table):
            require_distinct(self.columns, self.columns)

    def __str__(self) -> str:
        return str(self._table)

    def __reduce__(self) -> tuple[Any, ...]:
        """How a copy is made in another process: from the file."""
        return self._given, ()

    @property
    def types(self) -> dict[str, pa.DataType]:
        """The Arrow types of the columns, as far as the columns of the format have types, for outputs that need them.

        All columns of a sheet are texts: a column may hold a number in one row and a text in the next.
        """
        if self._table.is_workbook:
            return dict.fromkeys(self.columns, pa.string())
        return self._table.types()

    def batches(self, size: int) -> Iterator[Batch]:
        """All movies, at most ``size`` in a batch.

        Raises:
            UserError: a row is broken or holds no movie; the message names its line.
        """
        for part in self._reader.parts(all_columns=True):
            chunk = part()
            if chunk.broken:
                row = chunk.broken[0]
                # The rows before the broken one are not needed: nothing is written of a table with a broken row.
                raise UserError(f"{self.place(row.line)}: {row.reason}")
            for first in range(0, len(chunk.rows), size):
                yield self._batch(_sliced(chunk, first, size))

    def place(self, number: int) -> str:
        """The place of a row in messages."""
        return f"{self._table} {self._table.unit} {number}"

    def convert(self, rows: pa.Table, first: int) -> tuple[list[ValidMovie], TableReport]:
        """The movies of typed rows, of which the first one has the number ``first``, and the report about these rows.

        Raises:
            UserError: as `batches`.
        """
        report = self._reader.report()
        chunk = Chunk(rows, lambda: range(first, first + len(rows)))
        return read_movies(self._reader, chunk, report, self.place), report

    def _batch(self, chunk: Chunk) -> Batch:
        movies = read_movies(self._reader, chunk, self.report, self.place)
        try:
            rows = chunk.rows.to_pylist() if chunk.given is None else chunk.given
        # Of typed columns: a text that is not UTF-8, a time beyond Python's calendar.
        except (ValueError, OverflowError, pa.ArrowException) as error:
            raise UserError(f"{self._table}: a column that cannot be read ({first_line(error)})") from None
        return Batch(movies, [{name: row.get(name) for name in self.columns} for row in rows])


def _sliced(chunk: Chunk, first: int, size: int) -> Chunk:
    given = None if chunk.given is None else chunk.given[first : first + size]
    return Chunk(chunk.rows.slice(first, size), lambda: chunk.lines()[first : first + size], given=given)
