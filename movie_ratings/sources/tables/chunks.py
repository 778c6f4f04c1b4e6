"""A chunk of rows of a table: the rows that could be read, and the lines of the rows that could not."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import pyarrow as pa


@dataclass(frozen=True)
class Size:
    """How much of a table is read at once: rows of typed formats, about so many bytes of text formats.

    ``columns`` is the most columns that a table may have.
    """

    rows: int
    bytes: int
    columns: int = 10_000


CHUNK: Final = Size(rows=10_000, bytes=16 << 20)
# Less memory, more time: for tables of unknown origin, which may be made to be expensive.
SMALL: Final = Size(rows=1_000, bytes=1 << 20, columns=1_000)


class Row(NamedTuple):
    """The line that a row starts on, its cells, and the row as typed values, if it is kept."""

    line: int
    cells: Sequence[str | None]
    given: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Broken:
    """A row that cannot be read: its first line, the reason, and the start of its text."""

    line: int
    reason: str
    text: str


@dataclass(frozen=True)
class Chunk:
    """Some rows of a table, and the broken rows among them.

    ``lines`` returns the line (or row number) at which each row starts. The call may have to count lines first.
    ``given`` has the rows as typed values, for formats whose values ``rows`` holds as text, if they are kept.
    """

    rows: pa.Table
    lines: Callable[[], Sequence[int]]
    broken: Sequence[Broken] = ()
    given: Sequence[Mapping[str, Any]] | None = None


# A function that reads a chunk. Several may run at the same time, each in its own thread.
Part = Callable[[], Chunk]


def from_rows(rows: Sequence[Row | Broken], names: Sequence[str]) -> Chunk:
    """A chunk of rows whose cells are text. A row with a lone surrogate is broken."""
    broken = [row for row in rows if isinstance(row, Broken)]
    read = [row for row in rows if not isinstance(row, Broken)]
    try:
        table = _table(read, names)
    except UnicodeEncodeError:
        broken += [Broken(row.line, "bytes that are no text", _shown(row)) for row in read if not _is_text(row.cells)]
        read = [row for row in read if _is_text(row.cells)]
        table = _table(read, names)
    lines = [row.line for row in read]
    given = [row.given for row in read if row.given is not None]
    return Chunk(table, lambda: lines, broken, given if read and len(given) == len(read) else None)


def one_line(name: str) -> str:
    """The name of a column without the line breaks and the repeated spaces that spreadsheets put into it."""
    return " ".join(name.split())


def from_arrow(rows: pa.Table | pa.RecordBatch, first: int) -> Chunk:
    """A chunk of typed rows; ``first`` is the number of the first row."""
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_batches([rows])
    return Chunk(table, lambda: range(first, first + len(table)))


def _table(rows: Sequence[Row], names: Sequence[str]) -> pa.Table:
    columns = zip(*(row.cells for row in rows), strict=True) if rows else [[] for _ in names]
    return pa.table({name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)})


def _is_text(cells: Sequence[str | None]) -> bool:
    """Whether no cell holds a lone surrogate, into which an invalid byte is decoded."""
    return not re.search("[\ud800-\udfff]", "".join(cell or "" for cell in cells))


def _shown(row: Row) -> str:
    """The cells, with a question mark for each byte that is no text."""
    return ",".join(cell or "" for cell in row.cells).encode("utf-8", "replace").decode()
