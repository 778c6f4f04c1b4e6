"""Find out from the beginning of a text file how it writes a table: separator, line ends, escapes."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

SEPARATORS: Final = (",", ";", "\t", "|")
ROWS: Final = 1 << 16  # characters in which rows are compared
QUOTED: Final = re.compile(r'"[^"]*"')
ESCAPED: Final = re.compile(r"\\.", re.DOTALL)
LINE_END: Final = re.compile(r"\r\n|\r|\n")
# Excel reads and writes this line, and takes its mark as the separator of the rest.
ANNOUNCED: Final = re.compile(r'\s*"?sep=([^\w\s"]|\t)"?[ \t]*(?=[\r\n])', re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Dialect:
    """How a table is written."""

    separator: str = ","
    escape: str | None = None  # the character that takes the meaning from the next one
    ends_in_return: bool = False  # a row ends in a carriage return alone
    announced: bool = False  # the first line that is not blank names the separator


def dialect(beginning: str) -> Dialect:
    """The dialect of a text that begins so."""
    announced = ANNOUNCED.match(beginning)
    rest = beginning[announced.end() :] if announced else beginning
    # Whether a backslash escapes a quote is not known yet.
    ends_in_return = _ends_in_return(rest) or _ends_in_return(ESCAPED.sub("", rest))
    if ends_in_return:
        rest = rest.replace("\r", "\n")
    rest = rest.lstrip("\r\n")
    separator = announced[1] if announced and announced[1].isascii() else _separator(rest)
    escaped = "\\" in rest and _regular(rest, separator, "\\") > _regular(rest, separator, None)
    return Dialect(separator, "\\" if escaped else None, ends_in_return, announced is not None)


def _ends_in_return(text: str) -> bool:
    """Whether the first row and most others end in a carriage return alone. Cells in quotes may hold any line end."""
    ends = LINE_END.findall(QUOTED.sub("", text[:-1]))
    return ends[:1] == ["\r"] and ends.count("\r") > len(ends) / 2


def _separator(text: str) -> str:
    """The separator that splits the first row into most cells."""
    return max(SEPARATORS, key=lambda mark: len(next(_reader(text, delimiter=mark), [])))


def _regular(text: str, separator: str, escape: str | None) -> float:
    """The share of rows that have as many cells as the first one, and quotes at the ends of their cells alone."""
    complete = text[:ROWS].rpartition("\n")[0] if len(text) > ROWS else text
    lines = iter(io.StringIO(complete, newline="").readlines())
    width = regular = other = 0
    while True:
        try:
            for row in csv.reader(lines, delimiter=separator, escapechar=escape, strict=True):
                width = width or len(row)
                regular += len(row) == width
                other += len(row) not in (width, 0)
            return regular / (regular + other or 1)
        except csv.Error:
            # Reading goes on behind the broken row.
            other += 1


def _reader(text: str, delimiter: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
