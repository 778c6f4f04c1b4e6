"""Read rows of a workbook: .xlsx, .xlsm, .xlsb, .xls and .ods. Cells become the text that a CSV file would hold."""

import functools
import io
import zipfile
from collections.abc import Iterator, Sequence
from datetime import datetime, time
from itertools import chain, islice
from typing import Any, Final

from movie_ratings.core.errors import UserError, first_line
from movie_ratings.sources.tables.chunks import CHUNK, Part, Row, Size, from_rows, one_line

ENCRYPTED: Final = "EncryptedPackage".encode("utf-16-le")  # a stream of an encrypted workbook
LARGEST: Final = 64  # times the bytes of a chunk: the largest workbook, unpacked


class SheetRows:
    """The rows of one sheet of a workbook. The first row that is not empty names the columns."""

    def __init__(self, file: Any, sheet: str | None, keeps_rows: bool = False, size: Size = CHUNK):
        """Without ``sheet``, the first sheet that holds at least a row below its column names is read.

        With ``keeps_rows``, chunks have the rows as typed values too. ``size`` is that of a chunk.

        Raises:
            UserError: the workbook cannot be read, or lacks the sheet, or the sheet is empty.
        """
        self._keeps_rows, self._size = keeps_rows, size
        names, cells = _workbook(file.read(), LARGEST * size.bytes)
        if sheet is not None and sheet not in names:
            raise UserError(f"no sheet {sheet!r}; the workbook has {', '.join(names) or 'none'}")
        for name in [sheet] if sheet is not None else names:
            rows = ((number, row) for number, row in enumerate(cells(name), 1) if any(cell != "" for cell in row))
            if len(first := list(islice(rows, 2))) == 2:
                break
        else:
            raise UserError("empty, expected a row of column names and rows below")
        self._header = [one_line(str(_value(cell))) for cell in first[0][1]]
        self._rows = chain(first[1:], rows)

    def columns(self) -> list[str]:
        """The names in the header."""
        return self._header

    def parts(self, names: Sequence[str], needed: Sequence[str]) -> Iterator[Part]:
        """The columns ``names``. An empty cell is an empty text."""
        places = [self._header.index(name) for name in names]
        rows = (self._row(number, names, [row[place] for place in places]) for number, row in self._rows)
        while some := list(islice(rows, self._size.rows)):
            yield functools.partial(from_rows, some, names)

    def _row(self, number: int, names: Sequence[str], cells: Sequence[Any]) -> Row:
        values = [_value(cell) for cell in cells]
        return Row(
            number,
            [str(value) for value in values],
            dict(zip(names, values, strict=True)) if self._keeps_rows else None,
        )


def _workbook(data: bytes, most: int) -> tuple[list[str], Any]:
    """The names of the sheets, and a function that yields the rows of a sheet, equally long, from its first row on."""
    # Imported on demand: few tables are workbooks.
    import python_calamine

    if ENCRYPTED in data:
        raise UserError("encrypted; save the workbook without a password")
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(info.file_size for info in archive.infolist())
            if size > most:
                raise UserError(f"a workbook of {size:,} bytes, more than {most:,}; save the sheet as CSV")
            # The library does not stop at the sizes in the directory; here a member that is larger is damaged.
            if damaged := archive.testzip():
                raise UserError(f"damaged at {damaged!r}, or larger than the archive says")
    workbook = _guarded(python_calamine.CalamineWorkbook.from_filelike, io.BytesIO(data))
    sheets = [sheet.name for sheet in workbook.sheets_metadata if sheet.typ == python_calamine.SheetTypeEnum.WorkSheet]

    def cells(name: str) -> Iterator[list[Any]]:
        rows = _guarded(lambda: workbook.get_sheet_by_name(name).iter_rows())
        while (row := _guarded(lambda: next(rows, None))) is not None:
            yield row

    return sheets, cells


def _guarded(read: Any, *arguments: Any) -> Any:
    """Call a reader of the library. Its exceptions have no common class, and a panic is no Exception."""
    try:
        return read(*arguments)
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise UserError(f"not a readable workbook ({first_line(error)})") from None
        raise


def _value(cell: Any) -> Any:
    """The value of a cell. Workbooks hold whole numbers as floats, and days as the first moment of the day."""
    if isinstance(cell, float):
        return int(cell) if cell.is_integer() else cell
    if isinstance(cell, datetime):
        return cell.date() if cell.time() == time() else cell
    return cell
