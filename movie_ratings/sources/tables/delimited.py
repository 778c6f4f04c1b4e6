"""Read rows of delimited text (CSV, TSV and similar formats), one block of the file at a time.

`dialect` finds separator, line ends and escapes in the beginning of the file. Arrow parses a block whose quotes are
regular. Any other block is read row by row, so that each row that cannot be read is reported with its line. Both ways
follow the strict mode of Python's csv module. Reading continues after a broken line: a quote that is never closed
costs one line and not the rest of the file.
"""

import csv
import functools
import io
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

import pyarrow as pa
import pyarrow.csv

from movie_ratings.core.errors import UserError
from movie_ratings.sources.tables.blocks import LONGEST_LINE, Block, LongLineError, Text
from movie_ratings.sources.tables.chunks import CHUNK, Broken, Chunk, Part, Row, Size, from_rows, one_line
from movie_ratings.sources.tables.dialect import Dialect, dialect

HEAD: Final = 1 << 16  # bytes
RETURN: Final = re.compile(r"\r(?!\n)")  # a carriage return inside a line, where it is a space
LONGEST_CELL: Final = 1 << 20  # characters; a longer one is a quote that was never closed


class Delimited:
    """The rows of one file."""

    def __init__(self, file: io.RawIOBase, size: Size = CHUNK):
        """``file`` is UTF-8, and must stay open while rows are read; ``size`` is that of a chunk.

        Raises:
            UserError: the file has no line of column names.
        """
        csv.field_size_limit(LONGEST_CELL)
        self._text, self._size = Text(file), size
        self._dialect = dialect(self._text.beginning)
        self._text.read_as(self._dialect)
        lines = _Lines([], functools.partial(self._text.lines, HEAD), 1)
        mended = (RETURN.sub(" ", line) for line in lines)
        rows = csv.reader(mended, delimiter=self._dialect.separator, escapechar=self._dialect.escape)
        filled = (row for row in rows if any(cell.strip() for cell in row))
        if self._dialect.announced:
            next(filled, None)
        self._header = [one_line(name) for name in next(filled, [])]
        self._text.give_back(lines.left())
        self._line = lines.line
        if not self._header:
            raise UserError("empty, expected a line of column names")

    def columns(self) -> list[str]:
        """The names in the header."""
        return self._header

    def parts(self, names: Sequence[str], needed: Sequence[str]) -> Iterator[Part]:
        """The columns ``names``. A row is broken if it is too short for the columns ``needed`` or too long."""
        layout = _Layout(
            self._dialect,
            len(self._header),
            [self._header.index(name) for name in names],
            max((self._header.index(name) for name in needed), default=0) + 1,
        )
        line = self._line
        while block := self._block(line):
            if block.is_regular(self._dialect.separator):
                yield functools.partial(_parsed, block, line, layout, names)
                line += block.lines
            else:
                # Only reading the rows shows where the last row of such a block ends.
                lines = _Lines(block.split(), functools.partial(self._text.lines, HEAD), line)
                rows = list(_rows(lines, layout))
                self._text.give_back(lines.left())
                line = lines.line
                yield functools.partial(from_rows, rows, names)

    def _block(self, line: int) -> Block | None:
        try:
            return self._text.block(self._size.bytes)
        except LongLineError:
            # The message of a row that spans lines has its first line.
            raise UserError(f"line {line}: more than {LONGEST_LINE:,} bytes, or a quote that is not closed") from None


@dataclass(frozen=True)
class _Layout:
    """The layout of a row: dialect, number of cells in the header, positions to read, smallest number of cells."""

    dialect: Dialect
    width: int
    places: Sequence[int]
    least: int


class _Lines:
    """The lines of a block for Python's csv reader, and the lines after the block if its last row ends there.

    After a broken row, reading can start again at the second line of that row.
    """

    def __init__(self, block: list[bytes], more: Callable[[], list[bytes]], line: int):
        """``line`` is the number of the block's first line."""
        self._ahead, self._more = deque(block), more
        self._row: list[bytes] = []
        self._of_block = len(self._ahead)
        self.line = line

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        if not self._ahead:
            self._ahead.extend(self._more())
        if not self._ahead:
            raise StopIteration
        line = self._ahead.popleft()
        self._row.append(line)
        self._of_block -= 1
        self.line += line.endswith(b"\n")
        # Invalid bytes become surrogates, which mark the row as broken later. NUL is such a byte in a table.
        return line.replace(b"\0", b"\xff").decode("utf-8", errors="surrogateescape")

    def start_row(self) -> int | None:
        """The number of the first line of the next row; None if that row does not start in the block."""
        self._row.clear()
        return self.line if self._of_block > 0 else None

    def first(self) -> str:
        """The first line of the row, for a message."""
        return self._row[0].decode("utf-8", errors="replace").rstrip()

    def again_from_second(self) -> None:
        """Put back all lines of the row but the first."""
        self._put_back(self._row[1:])

    def again_without_returns(self) -> bool:
        """Put the row back with spaces for carriage returns inside its lines; False if there are none."""
        mended = [re.sub(RETURN.pattern.encode(), b" ", line) for line in self._row]
        if mended == self._row:
            return False
        self._put_back(mended)
        return True

    def _put_back(self, lines: list[bytes]) -> None:
        self._ahead.extendleft(reversed(lines))
        self._of_block += len(lines)
        self.line -= sum(line.endswith(b"\n") for line in lines)

    def left(self) -> bytes:
        """The lines that were read ahead and not used."""
        return b"".join(self._ahead)


def _parsed(block: Block, line: int, layout: _Layout, names: Sequence[str]) -> Chunk:
    """The rows of a block with regular quotes: parsed together if all are well formed, otherwise one by one."""

    @functools.cache
    def rows() -> list[Row | Broken]:
        return list(_rows(_Lines(block.split(), list, line), layout, regular=True))

    every, wanted = [str(n) for n in range(layout.width)], [str(place) for place in layout.places]
    try:
        table = pa.csv.read_csv(
            pa.py_buffer(block.data),
            pa.csv.ReadOptions(column_names=every, use_threads=False),
            pa.csv.ParseOptions(
                delimiter=layout.dialect.separator,
                escape_char=layout.dialect.escape or False,
                newlines_in_values=True,
            ),
            pa.csv.ConvertOptions(
                include_columns=wanted, column_types=dict.fromkeys(every, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid:
        return from_rows(rows(), names)
    return Chunk(table.rename_columns(list(names)), lambda: [row.line for row in rows()])


def _rows(lines: _Lines, layout: _Layout, regular: bool = False) -> Iterator[Row | Broken]:
    """The rows of ``lines``. With ``regular`` quotes, the end of a row is certain even if the row is broken."""
    width = layout.width

    def read() -> Iterator[list[str]]:
        return csv.reader(lines, delimiter=layout.dialect.separator, escapechar=layout.dialect.escape, strict=True)

    reader = read()
    while (first := lines.start_row()) is not None:
        try:
            row = next(reader)
            while len(row) > width and not row[-1].strip():
                row.pop()
            if layout.least <= len(row) <= width:
                row += [""] * (width - len(row))
                yield Row(first, [row[place] for place in layout.places])
                continue
            if not row:
                continue
            reason = f"{len(row)} cells, the header has {width}"
            if regular:
                yield Broken(first, reason, lines.first())
                continue
        except csv.Error as error:
            reason = str(error)
            reader = read()
            if lines.again_without_returns():
                continue
        yield Broken(first, reason, lines.first())
        lines.again_from_second()
