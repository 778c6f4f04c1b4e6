"""Users' tables: delimited text, JSON, Parquet and workbooks; plain, compressed or in an archive; in chunks of rows."""

import csv
import functools
import lzma
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import pyarrow as pa

from movie_ratings.core.errors import UserError, first_line
from movie_ratings.sources.tables import archives, encodings
from movie_ratings.sources.tables.chunks import CHUNK, Chunk, Part, Size
from movie_ratings.sources.tables.delimited import Delimited
from movie_ratings.sources.tables.encodings import AUTO, Utf8
from movie_ratings.sources.tables.json_rows import JsonRows
from movie_ratings.sources.tables.parquet import ParquetRows
from movie_ratings.sources.tables.sheets import SheetRows
from movie_ratings.sources.tables.signatures import HEAD, mistaken

KINDS: Final = {
    ".csv": "delimited",
    ".tsv": "delimited",
    ".txt": "delimited",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".parquet": "parquet",
    ".xlsx": "workbook",
    ".xlsm": "workbook",
    ".xlsb": "workbook",
    ".xls": "workbook",
    ".ods": "workbook",
}
# What readers and their libraries raise for a damaged file. A TypeError, an AttributeError or a LookupError is not
# among them: it would be a fault of this project, and has to be seen as one.
DAMAGE: Final = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    OverflowError,
    MemoryError,
    csv.Error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    tarfile.TarError,
    pa.ArrowException,
)


class Rows(Protocol):
    """The rows of an open file of one kind."""

    def columns(self) -> list[str]:
        """See `Table.columns`."""
        ...

    def parts(self, names: Sequence[str], needed: Sequence[str]) -> Iterator[Part]:
        """See `Table.parts`."""
        ...


@dataclass(frozen=True)
class Table:
    """One table: a file, a file in an archive, or a sheet of a workbook.

    ``encoding`` is that of text files. ``name`` stands for the path in messages. With ``keeps_rows``, the chunks of
    JSON and of workbooks have the rows as typed values too. ``size`` is that of a chunk.
    """

    path: Path
    member: str | None = None
    sheet: str | None = None
    encoding: str = AUTO
    name: str | None = None
    keeps_rows: bool = False
    size: Size = CHUNK
    # The encoding that was found, so that it is looked for once.
    _found: list[str] = field(default_factory=list, init=False, repr=False, compare=False)

    def __str__(self) -> str:
        return "/".join(part for part in (self.name or str(self.path), self.member, self.sheet) if part is not None)

    @property
    def unit(self) -> str:
        """What the numbers of rows count: lines of the file, or rows."""
        return "row" if self._kind in ("parquet", "workbook") else "line"

    @property
    def is_workbook(self) -> bool:
        """Whether the table is a sheet: its cells have types, and its columns have none."""
        return self._kind == "workbook"

    def types(self) -> dict[str, pa.DataType]:
        """The Arrow type of each column of a Parquet file; nothing for formats whose columns have no types.

        Raises:
            UserError: as `parts`.
        """
        if self._kind != "parquet":
            return {}
        with self._opened() as rows:
            assert isinstance(rows, ParquetRows)
            return rows.types()

    def columns(self) -> list[str]:
        """The names of the columns. For JSON, these are the keys of all objects.

        Raises:
            UserError: as `parts`.
        """
        with self._opened() as rows:
            return self._few(rows.columns())

    def parts(self, names: Sequence[str], needed: Sequence[str]) -> Iterator[Part]:
        """The columns ``names`` of all rows, in order. A row that is too short for the columns ``needed`` is broken.

        Cells of text formats are strings; nested JSON values are JSON text. A missing value is null or an empty cell.
        A part raises the same errors when it is called.

        Raises:
            UserError: the file is missing, empty, damaged, or not of the format that its suffix names; or two columns
                have one of the names.
        """
        with self._opened() as rows:
            if self._kind != "json":
                require_distinct(self._few(rows.columns()), names)
            for part in rows.parts(names, needed):
                yield functools.partial(self._read, part)

    def _few(self, columns: list[str]) -> list[str]:
        if len(columns) > self.size.columns:
            raise UserError(f"{len(columns):,} columns, more than {self.size.columns:,}; leave out those without use")
        return columns

    def _read(self, part: Part) -> Chunk:
        with reading(self):
            return part()

    @property
    def _kind(self) -> str:
        return _kind(self.member or self.path.name) or ""

    @contextmanager
    def _opened(self) -> Iterator[Rows]:
        with reading(self), archives.opened(self.path, self.member) as file:
            if what := mistaken(file.read(HEAD), self._kind):
                raise UserError(what)
            file.seek(0)
            if self._kind == "parquet":
                yield ParquetRows(file, self.size)
            elif self._kind == "workbook":
                yield SheetRows(file, self.sheet, self.keeps_rows, self.size)
            else:
                text = Utf8(file, self._found[0] if self._found else self.encoding)
                yield self._rows(text)
                if text.encoding is not None and not self._found:
                    self._found.append(text.encoding)

    def _rows(self, text: Utf8) -> Rows:
        if self._kind == "delimited":
            return Delimited(text, self.size)
        name = Path(archives.inner_name(self.member or self.path.name))
        return JsonRows(text, name.suffix.lower() in (".jsonl", ".ndjson"), self.keeps_rows, self.size)


def tables(path: Path, encoding: str = AUTO) -> list[Table]:
    """The table in a file, or all tables in an archive by name.

    ``archive.zip/table.csv`` names one table of an archive, and ``book.xlsx/Sheet 2`` one sheet of a workbook.

    Raises:
        UserError: the suffix names no format of a table, the archive cannot be read or lacks the table, or Python
            does not know the encoding.
    """
    encodings.checked(encoding)
    archive = next((part for part in (path, *path.parents) if archives.is_archive(part)), None)
    if archive is None:
        file, sheet = _file_and_sheet(path)
        if _kind(file.name) is None:
            packed = ", ".join((*archives.COMPRESSED, *archives.ARCHIVES))
            raise UserError(f"{path}: expected a name that ends in {', '.join(KINDS)}, also in {packed}")
        return [Table(file, None, sheet, encoding)]
    names = _members(archive)
    if archive == path:
        return [Table(path, name, None, encoding) for name in names]
    member, sheet = path.relative_to(archive), None
    if member.as_posix() not in names:
        member, sheet = _file_and_sheet(member)
    if member.as_posix() not in names:
        missing = path.relative_to(archive).as_posix()
        raise UserError(f"{archive}: no table {missing!r} in this archive; it has {', '.join(names)}")
    return [Table(archive, member.as_posix(), sheet, encoding)]


def require_distinct(columns: Sequence[str], names: Sequence[str]) -> None:
    """Check that each of ``names`` is the name of one column.

    Raises:
        KeyError: no column has one of the names, which no caller asks for.
        UserError: two columns have one of the names.
    """
    counts = Counter(columns)
    for name in names:
        if name not in counts:
            raise KeyError(name)
        if counts[name] > 1:
            raise UserError(f"{counts[name]} columns are called {name!r}; rename all but one")


@contextmanager
def reading(name: object, what: str = "file") -> Iterator[None]:
    """Raise one UserError that begins with ``name`` for whatever a damaged file makes a reader raise.

    This is the one place where that happens.
    """
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{name}: no such file") from None
    except UserError as error:
        # "movies.csv line 3: …", but "movies.csv: no column …".
        raise UserError(f"{name}{' ' if str(error).startswith('line ') else ': '}{error}") from None
    except DAMAGE as error:
        raise UserError(f"{name}: not a readable {what} ({first_line(error)})") from None


def _kind(name: str) -> str | None:
    return KINDS.get(Path(archives.inner_name(name)).suffix.lower())


def _file_and_sheet(path: Path) -> tuple[Path, str | None]:
    """Split ``book.xlsx/Sheet 2``."""
    for part in path.parents:
        if _kind(part.name) == "workbook":
            return part, path.relative_to(part).as_posix()
    return path, None


def _members(path: Path) -> list[str]:
    with reading(path, "archive"):
        found = [(name, Path(name)) for name in archives.members(path)]
        # Archives made on a Mac hold a "._movies.csv" beside each "movies.csv".
        names = sorted(n for n, member in found if _kind(member.name) and not member.name.startswith("."))
        if not names:
            raise UserError(f"no table in this archive ({', '.join(KINDS)})")
        return names
