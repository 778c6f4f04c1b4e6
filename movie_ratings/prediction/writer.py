"""Write rows with their predictions: CSV, JSON lines or Parquet by suffix."""

import csv
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from movie_ratings.core import storage
from movie_ratings.core.checks import shortened
from movie_ratings.core.errors import UserError, first_line
from movie_ratings.core.parquet import RowGroups

FORMATS: Final = (".csv", ".jsonl", ".parquet")


def require_format(path: Path) -> None:
    """Check that the suffix is one of `FORMATS`.

    Raises:
        UserError: the suffix is another one.
    """
    if path.suffix not in FORMATS:
        raise UserError(f"{path}: expected a name that ends in {', '.join(FORMATS)}")


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


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
