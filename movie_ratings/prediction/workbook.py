"""Write a workbook of one sheet (.xlsx), a row at a time: the names of the columns, then typed cells.

Texts stay texts: no formula, no link and no number is made of them.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

from movie_ratings.core import storage
from movie_ratings.core.checks import shortened
from movie_ratings.core.errors import UserError

ROWS: Final = 1_048_576  # of a sheet, the names of the columns included
COLUMNS: Final = 16_384
CELL: Final = 32_767  # UTF-16 code units of a text
# Excel takes 1900 for a leap year: its days before March 1900 are off by one in other programs.
FIRST_DAY: Final = date(1900, 3, 1)
# What neither XML nor Excel's own escape can stand for: halves of surrogate pairs, and two that are no characters.
UNWRITABLE: Final = re.compile("[\ud800-\udfff\ufffe\uffff]")
FORMATS: Final = {
    "day": "yyyy-mm-dd",
    "moment": "yyyy-mm-dd hh:mm:ss",
    "time": "hh:mm:ss",
    "duration": "[h]:mm:ss",
}


@contextmanager
def sheet(
    target: Path, name: Path, plain: Callable[[Any], Any]
) -> Iterator[Callable[[Sequence[dict[str, Any]]], None]]:
    """A function that appends rows to the workbook ``target``, which is complete when the block ends.

    ``name`` stands for the file in messages. ``plain`` makes a text of a list, as other formats write it.

    Raises:
        UserError: a row has other columns than the first, a sheet cannot hold so many rows or columns, or a cell
            cannot hold a text.
    """
    # Imported on demand: few results are workbooks.
    import xlsxwriter

    with storage.scratch(name) as folder:
        # With constant memory, the library keeps one row, and the rows before in a file of the folder.
        book = xlsxwriter.Workbook(target, {"constant_memory": True, "tmpdir": str(folder)})
        book.use_zip64()
        try:
            page = _Page(book, name, plain)
            yield page.write
            book.close()
        finally:
            # Without this, the library would write a half workbook when its objects are deleted.
            book.fileclosed = True


class _Page:
    """The sheet, and the number of rows that it has."""

    def __init__(self, book: Any, name: Path, plain: Callable[[Any], Any]):
        self._sheet, self._name, self._plain = book.add_worksheet("movies"), name, plain
        self._formats = {kind: book.add_format({"num_format": code}) for kind, code in FORMATS.items()}
        self._plainly, self._bold = book.add_format(), book.add_format({"bold": True})
        self._columns: dict[str, int] = {}
        self._rows = 0

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Append rows; before the first one, the names of its columns."""
        if not self._columns and rows:
            self._begin(list(rows[0]))
        if self._rows + len(rows) > ROWS:
            raise UserError(f"{self._name}: more than {ROWS - 1:,} rows, which no sheet holds; write .csv or .parquet")
        for row in rows:
            if other := next((name for name in row if name not in self._columns), None):
                raise UserError(f"{self._name}: rows with different columns ({shortened(other)})")
            for name, value in row.items():
                self._cell(name, value)
            self._rows += 1

    def _begin(self, names: Sequence[str]) -> None:
        if len(names) > COLUMNS:
            raise UserError(f"{self._name}: {len(names):,} columns, a sheet has {COLUMNS:,}; write .csv or .parquet")
        self._columns = {name: column for column, name in enumerate(names)}
        self._sheet.freeze_panes(1, 0)
        for name in names:
            self._text(name, name, self._bold)
        self._rows = 1

    def _cell(self, name: str, value: Any) -> None:
        value = self._plain(value)
        if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
            return  # an empty cell: Excel has no NaN
        place = self._rows, self._columns[name]
        if isinstance(value, bool):
            self._sheet.write_boolean(*place, value)
        elif isinstance(value, int | float) and _is_exact(value):
            self._sheet.write_number(*place, value)
        elif (kind := _kind(value)) is not None:
            self._sheet.write_datetime(*place, value, self._formats[kind])
        else:
            self._text(name, str(value), self._plainly)

    def _text(self, name: str, value: str, style: Any) -> None:
        text = UNWRITABLE.sub("\ufffd", value)
        if len(text) > CELL // 2 and (size := len(text.encode("utf-16-le")) // 2) > CELL:
            raise UserError(
                f"{self._name} row {self._rows + 1}: {shortened(name)} has a text of {size:,} characters, and a cell "
                f"of a workbook holds {CELL:,}; write .csv or .parquet"
            )
        place = self._rows, self._columns[name]
        if text.startswith("<r>"):
            # The library would take such a text for XML of its own. A text of two parts is escaped.
            self._sheet.write_rich_string(*place, style, text[:1], style, text[1:], style)
        else:
            self._sheet.write_string(*place, text, style)


def _kind(value: Any) -> str | None:
    """The key of `FORMATS` for a value that Excel has as a date or a time; None for any other."""
    if isinstance(value, datetime):
        # Excel has neither time zones nor microseconds.
        return "moment" if value.tzinfo is None and value.microsecond % 1_000 == 0 and _is_later(value.date()) else None
    if isinstance(value, date):
        return "day" if _is_later(value) else None
    if isinstance(value, time):
        return "time" if value.tzinfo is None and value.microsecond % 1_000 == 0 else None
    return "duration" if isinstance(value, timedelta) and value >= timedelta() else None


def _is_later(day: date) -> bool:
    return day >= FIRST_DAY


def _is_exact(value: float) -> bool:
    """Whether a cell holds the number as it is: Excel has no infinity, and keeps 15 to 16 digits of a whole number."""
    if isinstance(value, int):
        return abs(value) < 10**15
    return math.isfinite(value)
