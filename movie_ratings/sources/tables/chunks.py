"""Some rows of a table at a time: what could be read of them, and where the rest stands."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import pyarrow as pa

CHUNK: Final = 10_000  # rows


class Row(NamedTuple):
    """The line that a row starts on, and its cells."""

    line: int
    cells: Sequence[str | None]


@dataclass(frozen=True)
class Broken:
    """A row that cannot be read: where it starts, why, and its beginning."""

    line: int
    reason: str
    text: str


@dataclass(frozen=True)
class Chunk:
    """Some rows of a table, and what could not be read among them.

    ``lines`` gives the line (or row) that each row starts on; it may have to count them first.
    """

    rows: pa.Table
    lines: Callable[[], Sequence[int]]
    broken: Sequence[Broken] = ()


# Reads a chunk; several may be called at once, each in a thread of its own.
Part = Callable[[], Chunk]


def from_rows(rows: Sequence[Row | Broken], names: Sequence[str]) -> Chunk:
    """A chunk of the rows' cells, which are text; a row with a lone surrogate is broken."""
    broken = [row for row in rows if isinstance(row, Broken)]
    read = [row for row in rows if not isinstance(row, Broken)]
    try:
        table = _table(read, names)
    except UnicodeEncodeError:
        broken += [Broken(row.line, "bytes that are no text", "") for row in read if not _is_text(row.cells)]
        read = [row for row in read if _is_text(row.cells)]
        table = _table(read, names)
    lines = [row.line for row in read]
    return Chunk(table, lambda: lines, broken)


def from_arrow(rows: pa.Table | pa.RecordBatch, first: int) -> Chunk:
    """A chunk of typed rows, of which the first has the number ``first``."""
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_batches([rows])
    return Chunk(table, lambda: range(first, first + len(table)))


def _table(rows: Sequence[Row], names: Sequence[str]) -> pa.Table:
    columns = zip(*(row.cells for row in rows), strict=True) if rows else [[] for _ in names]
    return pa.table({name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)})


def _is_text(cells: Sequence[str | None]) -> bool:
    """Whether no cell holds a lone surrogate, which is what bytes that the encoding does not allow became."""
    return not re.search("[\ud800-\udfff]", "".join(cell or "" for cell in cells))
