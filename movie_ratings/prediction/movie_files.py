"""Movies in CSV, JSON lines and Parquet files, a batch of rows at a time; errors name the line."""

import csv
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
from movie_ratings.core.errors import UserError
from movie_ratings.core.parquet import RowGroups
from movie_ratings.movies.text import NAMES, NUMBERS, normalise

FORMATS: Final = (".csv", ".jsonl", ".parquet")
PARSED: Final = frozenset((*NAMES, *NUMBERS))  # columns of CSV files whose cells are not plain text

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
    reader = {".csv": _csv, ".jsonl": _json_lines, ".parquet": _parquet}[path.suffix]
    rows = reader(path, name or str(path))
    while batch := list(islice(rows, size)):
        yield batch


def types(path: Path) -> dict[str, pa.DataType]:
    """The Arrow type of each column of a Parquet file; nothing for formats without types."""
    if path.suffix != ".parquet":
        return {}
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: not a readable Parquet file ({error})") from None
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
            UserError: a row's columns or types are not those of the rows before it.
        """
        if self._path.suffix == ".jsonl":
            self._file.writelines(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)
        elif self._path.suffix == ".csv":
            self._write_csv(rows)
        else:
            self._write_parquet(rows)

    def _write_csv(self, rows: Sequence[dict[str, Any]]) -> None:
        if self._sink is None:
            self._sink = csv.DictWriter(self._file, list(rows[0]))
            self._sink.writeheader()
        try:
            self._sink.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
        except ValueError as error:
            raise UserError(f"{self._path}: rows with different columns ({error})") from None

    def _write_parquet(self, rows: Sequence[dict[str, Any]]) -> None:
        try:
            if self._sink is None:
                found = pa.Table.from_pylist(list(rows)).schema
                fields = [pa.field(field.name, self._known.get(field.name, field.type)) for field in found]
                table = pa.Table.from_pylist(list(rows), pa.schema(fields))
                self._sink = RowGroups(self._stack.enter_context(pq.ParquetWriter(self._temporary, table.schema)))
            else:
                table = pa.Table.from_pylist(list(rows), self._sink.schema)
        except pa.ArrowException as error:
            raise UserError(f"{self._path}: a column has values of different types ({error})") from None
        self._sink.write(table)


def _csv(path: Path, name: str) -> Iterator[Row]:
    csv.field_size_limit(1 << 26)
    reader = csv.reader(_lines(path, name), strict=True)
    try:
        header = next(reader, None)
        if header is None:
            raise UserError(f"{name}: empty file, expected a line of column names")
        _require_columns(name, header)
        while True:
            # A quoted cell can span lines: the place is the line on which the row starts.
            place = f"{name} line {reader.line_num + 1}"
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
        raise UserError(f"{name} line {reader.line_num}: not valid CSV ({error})") from None


def _json_lines(path: Path, name: str) -> Iterator[Row]:
    for number, line in enumerate(_lines(path, name), 1):
        place = f"{name} line {number}"
        if not line.strip():
            continue
        try:
            movie = json.loads(line)
        except ValueError as error:
            raise UserError(f"{place}: not valid JSON ({error})") from None
        if not isinstance(movie, dict):
            raise UserError(f"{place}: expected a JSON object, found {type(movie).__name__}")
        if "\\ud" in line.lower():
            # Half of an escaped surrogate pair is valid JSON, but no file could hold it as text.
            movie = json.loads(normalise(json.dumps(movie, ensure_ascii=False)))
        yield place, movie


def _lines(path: Path, name: str) -> Iterator[str]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise UserError(f"{name} line {number}: not UTF-8 text ({error.reason})") from None


def _parquet(path: Path, name: str) -> Iterator[Row]:
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:  # a buffer would keep every batch until the last
            _require_columns(name, file.schema_arrow.names)
            number = 0
            for batch in file.iter_batches(batch_size=1_000):
                for movie in batch.to_pylist():
                    number += 1
                    yield f"{name} row {number}", movie
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{name}: not a readable Parquet file ({error})") from None


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
        if number and not (number.isascii() and number.isdigit()):
            raise UserError(f"{place}: {field} must be a whole number, found {cell!r}")
        return int(number) if number else None
    if not cell.strip().startswith("["):
        return [name.strip() for name in cell.split(",") if name.strip()]
    try:
        return json.loads(cell)
    except ValueError as error:
        raise UserError(f"{place}: {field} is not a valid JSON list ({error})") from None


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
