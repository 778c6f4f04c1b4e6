"""Read one of IMDb's tables: tab-separated text without quoting, in which ``\\N`` means no value.

A table is read a block of complete lines at a time, since the largest one has several gigabytes. Every row must have as
many cells as the header. Rows that do not, and rows whose values cannot be converted, are broken: they are left out and
named by their line.
"""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, cast

import numpy as np
import polars as pl

from movie_ratings.core.errors import UserError, first_line
from movie_ratings.sources.tables.chunks import Broken

BLOCK: Final = 1 << 24  # bytes
LONGEST_LINE: Final = 1 << 23  # bytes; the longest real one, the writers of a long series, has a few hundred thousand
GZIP: Final = b"\x1f\x8b"
BOM: Final = b"\xef\xbb\xbf"
NO_SEPARATORS: Final = bytes(set(range(256)) - set(b"\t\n"))


class NotATableError(UserError):
    """A file's content is not what its name promises."""


@dataclass(frozen=True)
class Part:
    """Some rows of a table, with their ``line`` numbers in the first column; and the broken rows among them."""

    rows: pl.DataFrame
    broken: tuple[Broken, ...] = ()


def parts(path: Path, columns: Sequence[str]) -> Iterator[Part]:
    """The ``columns`` of a table as text, null where there is no value; ``path`` may be compressed with gzip.

    Raises:
        NotATableError: the file is empty, cut short, or lacks a column; the message names the file and the column.
        OSError: the file cannot be opened or read.
    """
    with ExitStack() as stack:
        file: IO[bytes] = stack.enter_context(path.open("rb"))
        # A proxy can unpack a file on its way, and keep its name: the bytes decide.
        packed = file.read(len(GZIP)) == GZIP
        file.seek(0)
        if packed:
            file = cast(IO[bytes], stack.enter_context(gzip.open(file)))
        line = 1
        try:
            header = _header(path, file.readline(LONGEST_LINE))
            places = [_place(path, header, column) for column in columns]
            for block in _blocks(file):
                line += 1
                part = _part(block, line, len(header), dict(zip(columns, places, strict=True)))
                yield part
                line += block.count(b"\n") - 1
        except (gzip.BadGzipFile, EOFError, zlib.error, ValueError) as error:
            raise NotATableError(f"{path}: damaged or cut short behind line {line} ({first_line(error)})") from None


def converted(part: Part, needed: Sequence[str], **values: pl.Expr) -> Part:
    """The part with columns replaced by ``values``, each an expression of the column of its name.

    A row is broken if an expression is null for a cell that has a value, or if a column of ``needed`` has none.
    """
    new = part.rows.select(**values)
    wrong = {name: new[name].is_null() & (part.rows[name].is_not_null() | (name in needed)) for name in values}
    rows = part.rows.with_columns(new.get_columns())
    any_wrong = pl.any_horizontal(wrong.values())
    places = pl.select(any_wrong.arg_true()).to_series().to_list()
    if not places:
        return Part(rows, part.broken)
    broken = []
    for place in places:
        name = next(name for name, found in wrong.items() if found[place])
        cell = part.rows[name][place]
        reason = f"{name}: {'no value' if cell is None else f'unexpected value {cell[:40]!r}'}"
        broken.append(Broken(part.rows["line"][place], reason, cell or ""))
    return Part(rows.filter(~any_wrong), part.broken + tuple(broken))


def identifier(column: str, prefix: str) -> pl.Expr:
    """The number of an identifier such as tt0111161 (UInt32), null for any other text."""
    digits = pl.col(column).str.slice(len(prefix))
    valid = pl.col(column).str.starts_with(prefix) & ~digits.str.starts_with("+")
    return pl.when(valid).then(digits.cast(pl.UInt32, strict=False))


def number(column: str, kind: Any) -> pl.Expr:
    """A finite number, null for any other text."""
    found = pl.col(column).cast(kind, strict=False)
    return pl.when(found.is_finite()).then(found)


def _header(path: Path, line: bytes) -> list[str]:
    text = line.removeprefix(BOM).decode("utf-8", errors="replace").strip("\r\n")
    if not text.strip():
        raise NotATableError(f"{path}: empty, expected a line of column names")
    if text.lstrip()[:1] == "<":
        raise NotATableError(f"{path}: a web page, expected a table of IMDb")
    return text.split("\t")


def _place(path: Path, header: Sequence[str], column: str) -> int:
    if column not in header:
        there = ", ".join(header)
        raise NotATableError(f"{path}: no column {column!r}; it has {there[:200]!r}")
    return header.index(column)


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Blocks of complete lines; the last one gets a line end if it has none."""
    rest = b""
    while block := file.read(BLOCK):
        head, end, tail = block.rpartition(b"\n")
        if end:
            yield rest + head + end
            rest = tail
        else:
            rest += block
        if len(rest) > LONGEST_LINE:
            raise ValueError(f"a line of more than {LONGEST_LINE:,} bytes")
    if rest:
        yield rest + b"\n"


def _part(block: bytes, first: int, width: int, columns: dict[str, int]) -> Part:
    separators = block.translate(None, NO_SEPARATORS)
    lines = np.arange(first, first + separators.count(b"\n"), dtype=np.uint32)
    broken: list[Broken] = []
    # Polars would fill up rows that are too short, and cut those that are too long.
    if separators != (b"\t" * (width - 1) + b"\n") * len(lines):
        cells = [len(tabs) + 1 for tabs in separators.split(b"\n")[:-1]]
        reasons = [None if n == width else f"{n} cells, the header has {width}" for n in cells]
        block, lines, broken = _without(block, lines, reasons)
    try:
        rows = _parsed(block, width, columns)
    except pl.exceptions.ComputeError:
        found = [None if _is_text(row) else "bytes that are no text" for row in block.split(b"\n")[:-1]]
        block, lines, more = _without(block, lines, found)
        broken = sorted([*broken, *more], key=lambda row: row.line)
        rows = _parsed(block, width, columns)
    return Part(rows.insert_column(0, pl.Series("line", lines)), tuple(broken))


def _without(block: bytes, lines: Any, reasons: Sequence[str | None]) -> tuple[bytes, Any, list[Broken]]:
    """The block without the lines that have a reason. Blank lines are no rows, and not reported."""
    rows = block.split(b"\n")[:-1]
    broken = [
        Broken(line, reason, row[:200].decode("utf-8", errors="replace"))
        for row, line, reason in zip(rows, lines.tolist(), reasons, strict=True)
        if reason and row.strip()
    ]
    kept = b"".join(row + b"\n" for row, reason in zip(rows, reasons, strict=True) if not reason)
    return kept, lines[np.array([not reason for reason in reasons], dtype=np.bool_)], broken


def _parsed(block: bytes, width: int, columns: dict[str, int]) -> pl.DataFrame:
    if not block:
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    rows = pl.read_csv(
        block,
        has_header=False,
        separator="\t",
        quote_char=None,
        null_values="\\N",
        schema={f"column_{n}": pl.String for n in range(1, width + 1)},
        columns=sorted(columns.values()),
    )
    return rows.select(pl.col(f"column_{place + 1}").alias(name) for name, place in columns.items())


def _is_text(row: bytes) -> bool:
    try:
        row.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
