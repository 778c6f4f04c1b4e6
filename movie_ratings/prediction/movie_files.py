"""Movies in CSV, JSON lines and Parquet files, a batch of rows at a time; errors name the line."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from movie_ratings.core import storage
from movie_ratings.core.checks import shortened
from movie_ratings.core.errors import UserError, first_line
from movie_ratings.core.parquet import RowGroups
from movie_ratings.movies.text import NAMES, NUMBERS, normalise

FORMATS: Final = (".csv", ".jsonl", ".parquet")
PARSED: Final = frozenset((*NAMES, *NUMBERS))  # columns of CSV files whose cells are not plain text
LONGEST_ROW: Final = 8 << 20  # bytes of a movie in CSV or JSON lines; a longer one is a quote that was never closed
BATCH_BYTES: Final = 32 << 20  # of a text file that are read for one batch: few long rows fill a batch, too
DIGITS: Final = 9  # of a number in a CSV cell; Python refuses to read thousands of digits

# The place of a movie ("movies.csv line 3"), and its columns.
Row = tuple[str, dict[str, Any]]


def require_format(path: Path) -> None:
    """Check that the suffix is one of `FORMATS`.

    Raises:
        UserError: the suffix is another one.
    """
    if path.suffix not in FORMATS:
        raise UserError(f"{path}: expected a name that ends in {', '.join(FORMATS)}")


def read(path: Path, size: int, name: str | None = None) -> Iterator[list[Row]]:
    """The movies of a file in batches of ``size``, in bounded memory; lists and numbers are parsed in every format.

    ``name`` stands for the path in places and messages.

    Raises:
        UserError: the file does not have the format of its suffix, or a line is broken; the message names the line.
    """
    if path.suffix == ".parquet":
        rows = _parquet(path, name or str(path))
        while batch := list(islice(rows, size)):
            yield batch
        return
    with path.open("rb") as file:
        lines = _Lines(file, name or str(path))
        rows = _csv(lines) if path.suffix == ".csv" else _json_lines(lines)
        batch, begin = [], 0
        for row in rows:
            batch.append(row)
            if len(batch) == size or lines.read - begin > BATCH_BYTES:
                yield batch
                batch, begin = [], lines.read
        if batch:
            yield batch


def types(path: Path) -> dict[str, pa.DataType]:
    """The Arrow type of each column of a Parquet file; nothing for formats without types."""
    if path.suffix != ".parquet":
        return {}
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: not a readable Parquet file ({first_line(error)})") from None
    return dict(zip(schema.names, schema.types, strict=True))


class Writer:
    """Writes rows (dictionaries with the same keys) to a file that appears under its name only once it is complete.

    ``known`` has the types of some columns, for Parquet; the other columns get their types from the first rows.
    """

    def __init__(self, path: Path, known: Mapping[str, pa.DataType] | None = None):
        self._path, self._known, self._stack = path, known or {}, ExitStack()
        self._sink: Any = None

    def __enter__(self) -> Self:
        self._temporary = self._stack.enter_context(storage.whole(self._path))
        if self._path.suffix != ".parquet":
            self._file = self._stack.enter_context(self._temporary.open("w", encoding="utf-8", newline=""))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            if self._path.suffix == ".parquet" and self._sink is None:
                pq.write_table(pa.table({}), self._temporary)
            elif self._path.suffix == ".parquet":
                self._sink.end()

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Append rows.

        Raises:
            UserError: a row's columns or types are not those of the rows before it, or a value has no place in the
                format.
        """
        if self._path.suffix == ".jsonl":
            self._write_json(rows)
        elif self._path.suffix == ".csv":
            self._write_csv(rows)
        else:
            self._write_parquet(rows)

    def _write_json(self, rows: Sequence[dict[str, Any]]) -> None:
        try:
            self._file.writelines(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)
        except (ValueError, TypeError, RecursionError) as error:
            raise UserError(f"{self._path}: a value that JSON cannot hold ({first_line(error)})") from None

    def _write_csv(self, rows: Sequence[dict[str, Any]]) -> None:
        if self._sink is None:
            self._sink = csv.DictWriter(self._file, list(rows[0]))
            self._sink.writeheader()
        try:
            self._sink.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{self._path}: rows with different columns ({shortened(first_line(error))})") from None

    def _write_parquet(self, rows: Sequence[dict[str, Any]]) -> None:
        try:
            if self._sink is None:
                found = pa.Table.from_pylist(list(rows)).schema
                fields = [pa.field(field.name, self._known.get(field.name, field.type)) for field in found]
                table = pa.Table.from_pylist(list(rows), pa.schema(fields))
                self._sink = RowGroups(self._stack.enter_context(pq.ParquetWriter(self._temporary, table.schema)))
            else:
                table = pa.Table.from_pylist(list(rows), self._sink.schema)
        # Arrow's own errors, and Python's for a number that is too large or a list among texts.
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            raise UserError(f"{self._path}: a column has values of different types ({first_line(error)})") from None
        self._sink.write(table)


class _Lines(Iterator[str]):
    """The lines of a text file. Errors name the line; ``read`` counts the bytes so far.

    A movie may span lines. The reader of movies calls `begin` before each movie, so that a longer one than
    `LONGEST_ROW` is refused before it fills the memory.
    """

    def __init__(self, file: io.BufferedReader, name: str):
        self.name, self.number, self.read = name, 0, 0
        self._file, self._begin = file, 0

    @property
    def place(self) -> str:
        """The line that was read last."""
        return f"{self.name} line {self.number}"

    def begin(self) -> str:
        """The place of the movie that begins with the next line."""
        self._begin = self.read
        return f"{self.name} line {self.number + 1}"

    def __next__(self) -> str:
        line = self._file.readline(LONGEST_ROW + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self.read += len(line)
        if self.read - self._begin > LONGEST_ROW:
            raise UserError(f"{self.place}: a movie of more than {LONGEST_ROW:,} bytes, or a quote that is not closed")
        try:
            return line.decode("utf-8-sig" if self.number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{self.place}: not UTF-8 text ({error.reason})") from None


def _csv(lines: _Lines) -> Iterator[Row]:
    csv.field_size_limit(LONGEST_ROW)
    reader = csv.reader(lines, strict=True)
    try:
        header = next(reader, None)
        if header is None:
            raise UserError(f"{lines.name}: empty file, expected a line of column names")
        _require_columns(lines.name, header)
        while True:
            # A quoted cell can span lines: the place is the line on which the row starts.
            place = lines.begin()
            row = next(reader, None)
            if row is None:
                return
            if not row:
                continue
            if len(row) != len(header):
                raise UserError(f"{place}: {len(row)} cells, the header has {len(header)}")
            movie: dict[str, Any] = dict(zip(header, row, strict=True))
            yield place, movie | {field: _value(movie[field], field, place) for field in movie.keys() & PARSED}
    except csv.Error as error:
        raise UserError(f"{lines.place}: not valid CSV ({error})") from None


def _json_lines(lines: _Lines) -> Iterator[Row]:
    place = lines.begin()
    for line in lines:
        if line.strip():
            movie = _parsed(line, f"{place}: not valid JSON")
            if not isinstance(movie, dict):
                raise UserError(f"{place}: expected a JSON object, found {type(movie).__name__}")
            yield place, movie
        place = lines.begin()


def _parsed(text: str, complaint: str) -> Any:
    """The value of a JSON text; ``complaint`` begins the message if there is none."""
    try:
        if "\\ud" in text.lower():
            # Half of an escaped surrogate pair is valid JSON, but no file could hold it as text.
            return json.loads(normalise(json.dumps(json.loads(text), ensure_ascii=False)))
        return json.loads(text)
    # A RecursionError: more brackets inside each other than Python reads.
    except (ValueError, RecursionError) as error:
        raise UserError(f"{complaint} ({first_line(error)})") from None


def _parquet(path: Path, name: str) -> Iterator[Row]:
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:  # a buffer would keep every batch until the last
            _require_columns(name, file.schema_arrow.names)
            number = 0
            for batch in file.iter_batches(batch_size=1_000):
                for movie in batch.to_pylist():
                    number += 1
                    yield f"{name} row {number}", movie
    except UserError:
        raise
    # Arrow's own errors, and those of Python where a value has none of its types: a text that is not UTF-8, a time
    # beyond its calendar.
    except Exception as error:
        raise UserError(f"{name}: not a readable Parquet file ({first_line(error)})") from None


def _require_columns(name: str, columns: Sequence[str]) -> None:
    if "title" not in columns and "summary" not in columns:
        raise UserError(f"{name}: neither a column 'title' nor 'summary'; it has {', '.join(columns)}")
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise UserError(f"{name}: two columns are named {twice!r}")


def _value(cell: str, field: str, place: str) -> Any:
    """The value of a CSV cell: a whole number, or a list, written as JSON or as names between commas."""
    if field in NUMBERS:
        # Programs that read a whole-number column with gaps often write it as 112.0.
        number = cell.strip().removesuffix(".0")
        if number and not (number.isascii() and number.isdigit() and len(number) <= DIGITS):
            raise UserError(f"{place}: {field} must be a whole number, found {shortened(cell)}")
        return int(number) if number else None
    if not cell.strip().startswith("["):
        return [name.strip() for name in cell.split(",") if name.strip()]
    return _parsed(cell, f"{place}: {field} is not a valid JSON list")


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
