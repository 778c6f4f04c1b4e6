"""Which movies to ask for: from TMDB's daily export, a MovieLens links.csv or a text file of ids."""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from movie_ratings.core.errors import UserError
from movie_ratings.movies.film import position
from movie_ratings.params import Tmdb
from movie_ratings.sources.tmdb.archive import Ids


def planned(params: Tmdb, export: Path | None) -> Ids:
    """The ids to ask for, rising, each once: filtered, then sampled, then limited.

    ``export`` is the downloaded export of ``params.export_date``, for ``params.ids: export``.

    Raises:
        UserError: the file of ids is missing or broken; the message names the line.
    """
    if export is not None:
        found = _exported(export, params)
    elif params.ids == "movielens":
        found = _movielens(Path(params.ids_path or ""))
    else:
        found = _listed(Path(params.ids_path or ""))
    ids = np.unique(np.fromiter(found, dtype=np.int64))
    if params.sample is not None:
        ids = ids[
            np.fromiter(
                (position(str(movie_id), "sample") < params.sample for movie_id in ids), dtype=bool, count=len(ids)
            )
        ]
    return ids[: params.limit]


def export_name(day: date) -> str:
    """The file name of a day's export."""
    return f"movie_ids_{day:%m_%d_%Y}.json.gz"


def _exported(path: Path, params: Tmdb) -> Iterator[int]:
    for place, entry in _lines(path):
        try:
            wanted = (
                (params.adult or not entry["adult"])
                and (params.video or not entry["video"])
                and entry["popularity"] >= params.min_popularity
            )
            if wanted:
                yield int(entry["id"])
        except (KeyError, TypeError) as error:
            raise UserError(f"{place}: not a line of TMDB's export ({error!r})") from None


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    number = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                yield f"{path} line {number}", json.loads(line)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise UserError(f"{path} line {number + 1}: {error}; delete the file to download it again") from None


def _movielens(path: Path) -> Iterator[int]:
    reader = csv.DictReader(line for _, line in _text(path))
    if "tmdbId" not in (reader.fieldnames or ()):
        raise UserError(f"{path}: no column 'tmdbId'; it has {', '.join(reader.fieldnames or ['nothing'])}")
    for row in reader:
        # MovieLens leaves the cell empty for films that TMDB does not have.
        if cell := (row["tmdbId"] or "").strip():
            yield _id(cell, f"{path} line {reader.line_num}")


def _listed(path: Path) -> Iterator[int]:
    for place, line in _text(path):
        if cell := line.partition("#")[0].strip():
            yield _id(cell, place)


def _text(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, line in enumerate(file, 1):
                yield f"{path} line {number}", line
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason})") from None


def _id(cell: str, place: str) -> int:
    if cell.isascii() and cell.isdigit() and 0 < int(cell) < 2**63:
        return int(cell)
    raise UserError(f"{place}: expected a TMDB id, found {cell[:40]!r}")
