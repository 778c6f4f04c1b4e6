"""Users' tables: CSV, TSV, JSON lines and Parquet; plain, in .gz or in .zip; read in chunks of rows."""

import functools
import gzip
import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, cast

import pyarrow as pa
import pyarrow.parquet as pq

from movie_ratings.core.errors import UserError, first_line
from movie_ratings.sources.tables.blocks import Binary
from movie_ratings.sources.tables.chunks import CHUNK, Broken, Part, Row, from_arrow, from_rows
from movie_ratings.sources.tables.delimited import Delimited

KINDS: Final = {
    ".csv": ".csv",
    ".tsv": ".csv",
    ".txt": ".csv",
    ".jsonl": ".json",
    ".ndjson": ".json",
    ".parquet": ".parquet",
}
HEAD: Final = 100  # lines of JSON whose keys are the columns


@dataclass(frozen=True)
class Table:
    """One table: a file, or a file in an archive."""

    path: Path
    member: str | None = None

    def __str__(self) -> str:
        return f"{self.path}/{self.member}" if self.member else str(self.path)

    def columns(self) -> list[str]:
        """The names of the columns. For JSON lines, these are the keys of the first `HEAD` lines.

        Raises:
            UserError: as `parts`.
        """
        with self._opened() as (file, kind):
            if kind == ".parquet":
                return list(pq.ParquetFile(file).schema_arrow.names)
            if kind == ".json":
                return _keys(islice(file, HEAD))
            return Delimited(file).header

    def parts(self, names: Sequence[str], needed: Sequence[str]) -> Iterator[Part]:
        """The columns ``names`` of all rows, in order. A row that is too short for the columns ``needed`` is broken.

        Cells of text formats are strings; nested JSON values are JSON text. A missing value is null or an empty cell.

        Raises:
            UserError: the file is missing, empty, or not of the format that its suffix names.
        """
        with self._opened() as (file, kind):
            if kind == ".parquet":
                yield from _parquet(file, names)
            elif kind == ".json":
                yield from _parts_of_rows(_json_lines(file, names), names)
            else:
                yield from Delimited(file).parts(names, needed)

    @contextmanager
    def _opened(self) -> Iterator[tuple[Binary, str]]:
        name = self.member or self.path.name.removesuffix(".gz")
        file: Binary
        try:
            with ExitStack() as stack:
                if self.member is not None:
                    archive = stack.enter_context(zipfile.ZipFile(self.path))
                    file = cast(zipfile.ZipExtFile, stack.enter_context(archive.open(self.member)))
                elif self.path.suffix == ".gz":
                    file = stack.enter_context(gzip.open(self.path))
                else:
                    file = stack.enter_context(self.path.open("rb"))
                yield file, KINDS[Path(name).suffix.lower()]
        except FileNotFoundError:
            raise UserError(f"{self}: no such file") from None
        except UserError as error:
            raise UserError(f"{self}: {error}") from None
        except (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile, pa.ArrowException) as error:
            raise UserError(f"{self}: not a readable file ({first_line(error)})") from None


def tables(path: Path) -> list[Table]:
    """The table in a file, or all tables in an archive by name, or the one table of ``archive.zip/table.csv``.

    Raises:
        UserError: the suffix names no format of a table, or the archive cannot be read or lacks the table.
    """
    archive = next((part for part in (path, *path.parents) if part.suffix.lower() == ".zip"), None)
    if archive is not None:
        names = _members(archive)
        if archive == path:
            return [Table(path, name) for name in names]
        name = path.relative_to(archive).as_posix()
        if name not in names:
            raise UserError(f"{archive}: no table {name!r} in this archive; it has {', '.join(names)}")
        return [Table(archive, name)]
    if Path(path.name.removesuffix(".gz")).suffix.lower() not in KINDS:
        raise UserError(f"{path}: expected a name that ends in {', '.join(KINDS)}, also in .gz or .zip")
    return [Table(path)]


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [(name, Path(name)) for name in archive.namelist()]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a readable archive ({error})") from None
    # Archives made on a Mac hold a "._movies.csv" beside each "movies.csv".
    names = sorted(n for n, member in members if member.suffix.lower() in KINDS and not member.name.startswith("."))
    if not names:
        raise UserError(f"{path}: no table in this archive ({', '.join(KINDS)})")
    return names


def _keys(lines: Iterable[bytes]) -> list[str]:
    keys: dict[str, None] = {}
    for line in lines:
        # A broken line is skipped here and reported by `_json_lines`.
        with suppress(ValueError):
            keys |= dict.fromkeys(_object(line))
    return list(keys)


def _json_lines(file: Binary, names: Sequence[str]) -> Iterator[Row | Broken]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = _object(line)
            yield Row(number, [_cell(row.get(name)) for name in names])
        except ValueError as error:
            yield Broken(number, str(error), line.decode("utf-8", "replace").rstrip())


def _object(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(row, dict):
        raise ValueError(f"expected an object, found {type(row).__name__}")
    return row


def _cell(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _parts_of_rows(rows: Iterable[Row | Broken], names: Sequence[str]) -> Iterator[Part]:
    rows = iter(rows)
    while some := list(islice(rows, CHUNK)):
        yield functools.partial(from_rows, some, names)


def _parquet(file: Binary, names: Sequence[str]) -> Iterator[Part]:
    first = 1
    for batch in pq.ParquetFile(file, pre_buffer=False).iter_batches(batch_size=CHUNK, columns=list(names)):
        yield functools.partial(from_arrow, batch, first)
        first += batch.num_rows
