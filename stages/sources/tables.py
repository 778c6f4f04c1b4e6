"""Tables as people have them: CSV, TSV, JSON lines and Parquet, plain, in .gz or in .zip, a chunk of rows at a time.

Encoding and separator are detected. A line that cannot be read is reported with its number and reading goes on behind
it: a quote that is never closed costs its own line, not the rest of the file.
"""

import codecs
import csv
import gzip
import io
import json
import re
import zipfile
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final, Self

import charset_normalizer
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from stages.errors import UserError

KINDS: Final = {
    ".csv": ".csv",
    ".tsv": ".csv",
    ".txt": ".csv",
    ".jsonl": ".json",
    ".ndjson": ".json",
    ".parquet": ".parquet",
}
SEPARATORS: Final = (",", ";", "\t", "|")
SAMPLE: Final = 1 << 20  # bytes by which encoding and separator are judged
TELLING: Final = 1 << 16
HEAD: Final = 100  # lines of JSON that name the columns
LONGEST_CELL: Final = 1 << 20  # characters; a longer one is a quote that was never closed
CHUNK: Final = 10_000  # rows

# The line that a row starts on, and its cells.
Row = tuple[int, Sequence[str | None]]


@dataclass(frozen=True)
class Broken:
    """A row that cannot be read: where it starts, why, and its beginning."""

    line: int
    reason: str
    text: str


@dataclass
class Chunk:
    """Some rows of a table: the columns, the line (or row) that each row starts on, and what could not be read."""

    columns: dict[str, pl.Series]
    lines: list[int]
    broken: list[Broken]


@dataclass(frozen=True)
class Table:
    """One table: a file, or a member of an archive."""

    path: Path
    member: str | None = None

    def __str__(self) -> str:
        return f"{self.path}/{self.member}" if self.member else str(self.path)

    def columns(self) -> list[str]:
        """The names of the columns; of JSON lines, those of the first lines.

        Raises:
            UserError: as `chunks`.
        """
        with self._opened() as (file, kind):
            if kind == ".parquet":
                return list(pq.ParquetFile(file).schema_arrow.names)
            if kind == ".json":
                head = [json.loads(line) for line in islice(file, HEAD) if line.strip()]
                return list(dict.fromkeys(name for row in head if isinstance(row, dict) for name in row))
            return _Delimited(file).header

    def chunks(self, names: Sequence[str], needed: Sequence[str]) -> Iterator[Chunk]:
        """The columns ``names`` of all rows, in order; a row too short to hold those of ``needed`` is broken.

        Cells of text formats arrive as strings (what JSON nests, as JSON); null is null or an empty cell.

        Raises:
            UserError: the file is missing, empty or not what its suffix says.
        """
        with self._opened() as (file, kind):
            if kind == ".parquet":
                yield from _parquet(file, names)
            elif kind == ".json":
                yield from _chunked(_json_lines(file, names), names)
            else:
                yield from _chunked(_Delimited(file).rows(names, needed), names)

    @contextmanager
    def _opened(self) -> Iterator[tuple[IO[bytes], str]]:
        name = self.member or self.path.name.removesuffix(".gz")
        try:
            with ExitStack() as stack:
                if self.member is not None:
                    archive = stack.enter_context(zipfile.ZipFile(self.path))
                    file = stack.enter_context(archive.open(self.member))
                elif self.path.suffix == ".gz":
                    file = stack.enter_context(gzip.open(self.path))  # type: ignore[arg-type]
                else:
                    file = stack.enter_context(self.path.open("rb"))
                yield file, KINDS[Path(name).suffix.lower()]
        except FileNotFoundError:
            raise UserError(f"{self}: no such file") from None
        except UserError as error:
            raise UserError(f"{self}: {error}") from None
        except (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile, pa.ArrowException) as error:
            raise UserError(f"{self}: not a readable file ({str(error).splitlines()[0]})") from None


def tables(path: Path) -> list[Table]:
    """The table in a file, or all those in an archive, by name.

    Raises:
        UserError: the suffix is of no table, the archive cannot be read or holds none.
    """
    if path.suffix.lower() == ".zip":
        try:
            with zipfile.ZipFile(path) as archive:
                names = sorted(name for name in archive.namelist() if Path(name).suffix.lower() in KINDS)
        except FileNotFoundError:
            raise UserError(f"{path}: no such file") from None
        except (OSError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: not a readable archive ({error})") from None
        if not names:
            raise UserError(f"{path}: no table in this archive ({', '.join(KINDS)})")
        return [Table(path, name) for name in names]
    if Path(path.name.removesuffix(".gz")).suffix.lower() not in KINDS:
        raise UserError(f"{path}: expected a name that ends in {', '.join(KINDS)}, in .gz or .zip if you like")
    return [Table(path)]


class _Delimited:
    """Rows between separators; the file's encoding and separator are found in its beginning."""

    def __init__(self, file: IO[bytes]):
        head = file.read(SAMPLE)
        file.seek(0)
        csv.field_size_limit(LONGEST_CELL)
        # What the encoding does not allow becomes a surrogate, by which the row that holds it is known.
        self._lines = _Lines(io.TextIOWrapper(file, _encoding(head), errors="surrogateescape", newline=""))
        self._separator = _separator(head)
        self.header = [name.strip() for name in next(csv.reader(self._lines, delimiter=self._separator), [])]
        if not any(self.header):
            raise UserError("empty, expected a line of column names")

    def rows(self, names: Sequence[str], needed: Sequence[str]) -> Iterator[Row | Broken]:
        places, width = [self.header.index(name) for name in names], len(self.header)
        least = max((self.header.index(name) for name in needed), default=0) + 1
        lines = self._lines
        reader = csv.reader(lines, delimiter=self._separator, strict=True)
        while True:
            lines.start_row()
            try:
                row = next(reader, None)
                if row is None:
                    return
                while len(row) > width and not row[-1].strip():
                    row.pop()
                if least <= len(row) <= width:
                    if len(row) < width:
                        row += [""] * (width - len(row))
                    yield lines.first, [row[place] for place in places]
                    continue
                if not row:
                    continue
                reason = f"{len(row)} cells, the header has {width}"
            except csv.Error as error:
                reason = str(error)
                reader = csv.reader(lines, delimiter=self._separator, strict=True)
            yield Broken(lines.first, reason, lines.again_from_second())


class _Lines:
    """Lines that can be read again from the second of the current row on: the first may not be where the row ends."""

    def __init__(self, lines: Iterable[str]):
        self._source, self._again = iter(lines), deque[str]()
        self._row: list[str] = []
        self._number = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._source)
        self._number += 1
        self._row.append(line)
        return line

    def start_row(self) -> None:
        self._row.clear()

    @property
    def first(self) -> int:
        """The number of the row's first line."""
        return self._number - len(self._row) + 1

    def again_from_second(self) -> str:
        """Let all lines of the row but its first be read again; return that first line."""
        self._again.extendleft(reversed(self._row[1:]))
        self._number -= len(self._row) - 1
        return self._row[0].rstrip()


def _encoding(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        # Only lines with such bytes say which encoding it is, and a guess from few bytes is quick.
        telling = b"\n".join(line for line in head.splitlines() if not line.isascii())[:TELLING]
        found = charset_normalizer.from_bytes(telling)
        best = found.best()
        # Few words fit several code pages: then it is the commonest.
        western = any(guess.encoding == "cp1252" and guess.coherence >= best.coherence for guess in found if best)
        return "cp1252" if western or best is None else best.encoding
    return "utf-8-sig"


def _separator(head: bytes) -> str:
    text = head.decode(_encoding(head), errors="replace")
    return max(SEPARATORS, key=lambda s: len(next(csv.reader(io.StringIO(text, newline=""), delimiter=s), [])))


def _json_lines(file: IO[bytes], names: Sequence[str]) -> Iterator[Row | Broken]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"expected an object, found {type(row).__name__}")
            yield number, [_cell(row.get(name)) for name in names]
        except ValueError as error:
            yield Broken(number, str(error), line.decode("utf-8", "replace").rstrip())


def _cell(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _chunked(rows: Iterable[Row | Broken], names: Sequence[str]) -> Iterator[Chunk]:
    rows = iter(rows)
    while some := list(islice(rows, CHUNK)):
        broken = [row for row in some if isinstance(row, Broken)]
        read = [row for row in some if not isinstance(row, Broken)]
        try:
            columns = _columns(read, names)
        except UnicodeEncodeError:
            broken += [Broken(line, "bytes that are no text", "") for line, cells in read if not _is_text(cells)]
            read = [row for row in read if _is_text(row[1])]
            columns = _columns(read, names)
        yield Chunk(columns, [line for line, _ in read], broken)


def _columns(rows: Sequence[Row], names: Sequence[str]) -> dict[str, pl.Series]:
    columns = zip(*(cells for _, cells in rows), strict=True) if rows else [[] for _ in names]
    return {name: pl.Series(name, column, pl.String) for name, column in zip(names, columns, strict=True)}


def _is_text(cells: Sequence[str | None]) -> bool:
    """Whether no cell holds a lone surrogate, which is what bytes that the encoding does not allow became."""
    return not re.search("[\ud800-\udfff]", "".join(cell or "" for cell in cells))


def _parquet(file: IO[bytes], names: Sequence[str]) -> Iterator[Chunk]:
    first = 1
    for batch in pq.ParquetFile(file).iter_batches(batch_size=CHUNK, columns=list(names)):
        columns = {name: pl.Series(name, batch.column(name)) for name in names}
        yield Chunk(columns, list(range(first, first + batch.num_rows)), [])
        first += batch.num_rows
