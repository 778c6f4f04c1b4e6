"""The ids of the movies to collect: from TMDB's daily export, a MovieLens links.csv or a text file of ids."""

import contextlib
import csv
import gzip
import re
import zlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import IO, Annotated, Final, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from movie_ratings.core.errors import UserError
from movie_ratings.movies.film import position
from movie_ratings.params import Tmdb
from movie_ratings.sources.tmdb.archive import Ids
from movie_ratings.sources.tmdb.details import Id, in_one_line

LONGEST_LINE: Final = 1 << 20  # bytes or characters; the lines of all three kinds of file have a few hundred
LONGEST_CELL: Final = 1 << 17  # characters of a cell of links.csv
LONGEST_EXPORT: Final = 4 << 30  # bytes, decompressed; an export of 2026 has about 130 million
GZIP: Final = b"\x1f\x8b"


class Exported(BaseModel):
    """A line of TMDB's export."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    id: Id
    adult: bool
    video: bool
    popularity: Annotated[float, Field(ge=0)]


class BrokenExportError(UserError):
    """The downloaded export is not what TMDB publishes; a second download may be."""


def planned(params: Tmdb, export: Path | None) -> Ids:
    """The ids to collect, rising, each once: filtered, then sampled, then limited.

    ``export`` is the downloaded export of ``params.export_date``, for ``params.ids: export``.

    Raises:
        BrokenExportError: the export is broken or has no line; the message names the line.
        UserError: the file of ids is missing or broken, or no id is left; the message names the line or the file.
    """
    path = export or Path(params.ids_path or "")
    if export is not None:
        found = _exported(export, params)
    elif params.ids == "movielens":
        found = _movielens(path)
    else:
        found = _listed(path)
    ids = np.unique(np.fromiter(found, dtype=np.int64))
    if not len(ids):
        raise UserError(
            f"{path}: no movie passes fetch.tmdb.adult, video and min_popularity" if export else f"{path}: no id in it"
        )
    if params.sample is not None:
        ids = ids[
            np.fromiter(
                (position(str(movie_id), "sample") < params.sample for movie_id in ids), dtype=bool, count=len(ids)
            )
        ]
        if not len(ids):
            raise UserError(f"fetch.tmdb.sample: no id of {path} is in the sample of {params.sample}")
    return ids[: params.limit]


def export_name(day: date) -> str:
    """The file name of a day's export."""
    return f"movie_ids_{day:%m_%d_%Y}.json.gz"


def _exported(path: Path, params: Tmdb) -> Iterator[int]:
    empty = True
    for place, line in _export_lines(path):
        if line.isspace():
            continue
        empty = False
        try:
            movie = Exported.model_validate_json(line)
        except ValidationError as error:
            raise BrokenExportError(f"{place}: not a line of TMDB's export ({in_one_line(error)})") from None
        if (
            (params.adult or not movie.adult)
            and (params.video or not movie.video)
            and movie.popularity >= params.min_popularity
        ):
            yield movie.id
    if empty:
        raise BrokenExportError(f"{path}: the export is empty")


def _export_lines(path: Path) -> Iterator[tuple[str, bytes]]:
    read = number = 0
    with contextlib.ExitStack() as stack:
        file: IO[bytes] = stack.enter_context(path.open("rb"))
        try:
            # A server can compress the file once more, and a proxy can unpack it on the way: the bytes decide.
            for _ in range(2):
                start = file.read(len(GZIP))
                file.seek(0)
                if start == GZIP:
                    file = cast(IO[bytes], stack.enter_context(gzip.open(file)))
            while line := file.readline(LONGEST_LINE + 1):
                number, read = number + 1, read + len(line)
                if len(line) > LONGEST_LINE or read > LONGEST_EXPORT:
                    raise BrokenExportError(f"{path} line {number}: longer than any export of TMDB")
                yield f"{path} line {number}", line
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise BrokenExportError(f"{path} line {number + 1}: {error}") from None


def _movielens(path: Path) -> Iterator[int]:
    csv.field_size_limit(LONGEST_CELL)  # of the whole process: another reader may have set its own
    reader = csv.DictReader(line for _, line in _text(path))
    try:
        if "tmdbId" not in (reader.fieldnames or ()):
            raise UserError(f"{path}: no column 'tmdbId'; it has {', '.join(reader.fieldnames or ['nothing'])[:200]}")
        for row in reader:
            # MovieLens leaves the cell empty for films that TMDB does not have.
            if cell := (row["tmdbId"] or "").strip():
                yield _id(cell, f"{path} line {reader.line_num}")
    except csv.Error as error:
        raise UserError(f"{path} line {reader.line_num + 1}: {error}") from None


def _listed(path: Path) -> Iterator[int]:
    for place, line in _text(path):
        if cell := line.partition("#")[0].strip():
            yield _id(cell, place)


def _text(path: Path) -> Iterator[tuple[str, str]]:
    number = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE:
                    raise UserError(f"{path} line {number}: longer than {LONGEST_LINE:,} characters")
                yield f"{path} line {number}", line
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason})") from None


def _id(cell: str, place: str) -> int:
    # A table with empty cells that went through pandas has 862.0 in place of 862.
    if match := re.fullmatch(r"([0-9]{1,19})(?:\.0*)?", cell):
        number = int(match[1])
        if 0 < number < 2**63:
            return number
    raise UserError(f"{place}: expected a TMDB id, found {cell[:40]!r}")
