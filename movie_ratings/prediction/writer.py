"""Write rows with their predictions: delimited text, JSON, Parquet or a workbook, by suffix.

| suffix | format |
| --- | --- |
| .csv | cells between commas |
| .tsv, .txt | cells between tabs |
| .jsonl, .ndjson | a JSON object a line |
| .json | a JSON array of objects, one a line |
| .parquet | Parquet |
| .xlsx | a workbook of Excel with one sheet |
"""

import csv
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from movie_ratings.core import storage
from movie_ratings.core.checks import shortened
from movie_ratings.core.errors import UserError, first_line
from movie_ratings.core.parquet import RowGroups
from movie_ratings.prediction import workbook

Rows = Sequence[dict[str, Any]]
Types = Mapping[str, pa.DataType]
Write = Callable[[Rows], None]


def require_format(path: Path) -> None:
    """Check that the suffix is one of `FORMATS`.

    Raises:
        UserError: the suffix is another one.
    """
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"{path}: expected a name that ends in {', '.join(FORMATS)}")


class Writer:
    """Writes rows (dictionaries with the same keys) to a file that appears under its name only once it is complete.

    ``known`` has the types of some columns, for Parquet; the other columns get their types from the first rows.
    """

    def __init__(self, path: Path, known: Types | None = None):
        self._path, self._known, self._stack = path, known or {}, ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            temporary = stack.enter_context(storage.whole(self._path))
            self._write = stack.enter_context(SINKS[self._path.suffix.lower()](temporary, self._path, self._known))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def write(self, rows: Rows) -> None:
        """Append rows.

        Raises:
            UserError: a row's columns or types are not those of the rows before it, or a value has no place in the
                format.
        """
        self._write(rows)


# Each function below writes one format to ``target``; messages name the file ``name``.


@contextmanager
def _delimited(target: Path, name: Path, _: Types, mark: str) -> Iterator[Write]:
    with target.open("w", encoding="utf-8", newline="") as file:
        sink: csv.DictWriter | None = None

        def write(rows: Rows) -> None:
            nonlocal sink
            if sink is None:
                sink = csv.DictWriter(file, list(rows[0]), delimiter=mark)
                sink.writeheader()
            try:
                sink.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{name}: rows with different columns ({shortened(first_line(error))})") from None

        yield write


@contextmanager
def _json(target: Path, name: Path, _: Types, is_array: bool) -> Iterator[Write]:
    with target.open("w", encoding="utf-8", newline="") as file:
        between, end = (",\n", "\n]\n") if is_array else ("\n", "\n")
        before = "[\n" if is_array else ""

        def write(rows: Rows) -> None:
            nonlocal before
            try:
                for row in rows:
                    file.write(before + json.dumps(row, ensure_ascii=False, default=str))
                    before = between
            except (ValueError, TypeError, RecursionError) as error:
                raise UserError(f"{name}: a value that JSON cannot hold ({first_line(error)})") from None

        yield write
        if before == between:
            file.write(end)
        elif is_array:
            file.write("[]\n")


@contextmanager
def _parquet(target: Path, name: Path, known: Types) -> Iterator[Write]:
    texts = {column for column, kind in known.items() if pa.types.is_string(kind)}
    with ExitStack() as stack:
        sink: RowGroups | None = None

        def write(rows: Rows) -> None:
            nonlocal sink
            rows = [
                {column: _text(value) if column in texts else value for column, value in row.items()} for row in rows
            ]
            try:
                if sink is None:
                    found = pa.Table.from_pylist(rows).schema
                    fields = [pa.field(field.name, known.get(field.name, field.type)) for field in found]
                    table = pa.Table.from_pylist(rows, pa.schema(fields))
                    sink = RowGroups(stack.enter_context(pq.ParquetWriter(target, table.schema)))
                else:
                    table = pa.Table.from_pylist(rows, sink.schema)
            # Arrow's own errors, and Python's for a number that is too large or a list among texts.
            except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
                raise UserError(f"{name}: a column has values of different types ({first_line(error)})") from None
            sink.write(table)

        yield write
        if sink is None:
            pq.write_table(pa.table({}), target)
        else:
            sink.end()


def _workbook(target: Path, name: Path, _: Types) -> AbstractContextManager[Write]:
    return workbook.sheet(target, name, _cell)


def _cell(value: Any) -> Any:
    """A value as a cell of a table holds it: a list or an object is JSON text."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _text(value: Any) -> str | None:
    """The value of a column of texts: a workbook, whose columns have no types, may hold a number there."""
    return value if value is None or isinstance(value, str) else str(value)


SINKS: Final[Mapping[str, Callable[[Path, Path, Types], AbstractContextManager[Write]]]] = {
    ".csv": functools.partial(_delimited, mark=","),
    ".tsv": functools.partial(_delimited, mark="\t"),
    # Most programs separate the cells of a table with the suffix .txt by tabs.
    ".txt": functools.partial(_delimited, mark="\t"),
    ".json": functools.partial(_json, is_array=True),
    ".jsonl": functools.partial(_json, is_array=False),
    ".ndjson": functools.partial(_json, is_array=False),
    ".parquet": _parquet,
    ".xlsx": _workbook,
}
FORMATS: Final = tuple(SINKS)
