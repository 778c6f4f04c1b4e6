"""Rows between separators (CSV, TSV and their kin), read a block of the file at a time.

Encoding, line ends and separator are found in the file's beginning. A block whose quotes open and close where they
should is parsed as a whole, by Arrow; one that is odd in any way is read row by row, so that every row that cannot be
read is known by its line. Both follow the rules of Python's csv module in its strict mode, and reading goes on behind a
broken line: a quote that is never closed costs its own line, not the rest of the file.
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
from movie_ratings.sources.tables.blocks import Binary, Block, Text
from movie_ratings.sources.tables.chunks import Broken, Chunk, Part, Row, from_rows

SEPARATORS: Final = (",", ";", "\t", "|")
HEAD: Final = 1 << 16  # bytes
LONGEST_CELL: Final = 1 << 20  # characters; a longer one is a quote that was never closed


class Delimited:
    """The rows of one file."""

    def __init__(self, file: Binary):
        """``file`` can seek, and stays open while rows are read.

        Raises:
            UserError: the file has no line of column names.
        """
        csv.field_size_limit(LONGEST_CELL)
        self._text = Text(file)
        self._separator = _separator(self._text.beginning)
        lines = _Lines([], functools.partial(self._text.lines, HEAD), 1)
        self.header = [name.strip() for name in next(csv.reader(lines, delimiter=self._separator), [])]
        self._text.give_back(lines.left())
        self._line = lines.line
        if not any(self.header):
            raise UserError("empty, expected a line of column names")

    def parts(self, names: Sequence[str], needed: Sequence[str]) -> Iterator[Part]:
        """The columns ``names``; a row too short to hold those of ``needed``, or longer than the header, is broken."""
        layout = _Layout(
            self._separator,
            len(self.header),
            [self.header.index(name) for name in names],
            max((self.header.index(name) for name in needed), default=0) + 1,
        )
        line = self._line
        while block := self._text.block():
            if block.is_regular(self._separator):
                yield functools.partial(_parsed, block, line, layout, names)
                line += block.lines
            else:
                # Where such a block's last row ends is known when it has been read.
                lines = _Lines(block.split(), self._text.lines, line)
                rows = list(_rows(lines, layout))
                self._text.give_back(lines.left())
                line = lines.line
                yield functools.partial(from_rows, rows, names)


@dataclass(frozen=True)
class _Layout:
    """Of a row: the separator, the cells in the header, the places of those that are read, the fewest that will do."""

    separator: str
    width: int
    places: Sequence[int]
    least: int


class _Lines:
    """Lines of a block, as csv wants them, and of what follows it where its last row does not end in it.

    They can be read again from the second of the current row on: the first may not be where the row ends.
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
        # What is no UTF-8 becomes a surrogate, by which the row that holds it is known.
        return line.decode("utf-8", errors="surrogateescape")

    def start_row(self) -> int | None:
        """The number of the next row's first line; None if it does not start in the block."""
        self._row.clear()
        return self.line if self._of_block > 0 else None

    def first(self) -> str:
        """The first line of the row, to show."""
        return self._row[0].decode("utf-8", errors="replace").rstrip()

    def again_from_second(self) -> None:
        """Let all lines of the row but its first be read again."""
        self._put_back(self._row[1:])

    def again_without_returns(self) -> bool:
        """Let the row be read again with spaces for carriage returns inside its lines, if there are any."""
        mended = [re.sub(rb"\r(?!\n)", b" ", line) for line in self._row]
        if mended == self._row:
            return False
        self._put_back(mended)
        return True

    def _put_back(self, lines: list[bytes]) -> None:
        self._ahead.extendleft(reversed(lines))
        self._of_block += len(lines)
        self.line -= sum(line.endswith(b"\n") for line in lines)

    def left(self) -> bytes:
        """What was read ahead and not asked for."""
        return b"".join(self._ahead)


def _parsed(block: Block, line: int, layout: _Layout, names: Sequence[str]) -> Chunk:
    """The rows of a block with regular quotes: at once if all are well formed, else one by one."""

    @functools.cache
    def rows() -> list[Row | Broken]:
        return list(_rows(_Lines(block.split(), list, line), layout, regular=True))

    every, wanted = [str(n) for n in range(layout.width)], [str(place) for place in layout.places]
    try:
        table = pa.csv.read_csv(
            pa.py_buffer(block.data),
            pa.csv.ReadOptions(column_names=every, use_threads=False),
            pa.csv.ParseOptions(delimiter=layout.separator, newlines_in_values=True),
            pa.csv.ConvertOptions(
                include_columns=wanted, column_types=dict.fromkeys(every, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid:
        return from_rows(rows(), names)
    return Chunk(table.rename_columns(list(names)), lambda: [row.line for row in rows()])


def _rows(lines: _Lines, layout: _Layout, regular: bool = False) -> Iterator[Row | Broken]:
    """``regular`` quotes leave no doubt where a row ends, also where it is broken."""
    width = layout.width
    reader = csv.reader(lines, delimiter=layout.separator, strict=True)
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
            reader = csv.reader(lines, delimiter=layout.separator, strict=True)
            if lines.again_without_returns():
                continue
        yield Broken(first, reason, lines.first())
        lines.again_from_second()


def _separator(head: str) -> str:
    return max(SEPARATORS, key=lambda s: len(next(csv.reader(io.StringIO(head, newline=""), delimiter=s), [])))
