"""IMDb's tables: where they are, which version of each was read, and their rows."""

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import polars as pl

from movie_ratings.core import storage
from movie_ratings.core.errors import UserError
from movie_ratings.params import Imdb
from movie_ratings.sources.download import Origin, download
from movie_ratings.sources.fetch_report import FetchReport
from movie_ratings.sources.imdb.tsv import NotATableError, Part, parts
from movie_ratings.sources.tables.records import list_broken

NAMES: Final = ("title.ratings", "title.basics", "title.crew", "title.principals", "name.basics")
LONGEST: Final = 16 << 30  # bytes of a download; the longest, title.principals, has about 700 million


class Tables:
    """The five tables of a folder, or of a download; ``report`` receives their versions and their broken rows."""

    def __init__(self, params: Imdb, report: FetchReport):
        """Find the tables, downloading those that the store lacks.

        Raises:
            UserError: a table is not in the folder, or cannot be downloaded.
        """
        self._params, self._report = params, report
        found = dict(map(self._given if params.folder else self._downloaded, NAMES))
        self._paths = {name: path for name, (path, _) in found.items()}
        report.details["tables"] = {name: _version(path, origin) for name, (path, origin) in found.items()}

    def rows(self, name: str, columns: Sequence[str], convert: Callable[[Part], Part]) -> Iterator[pl.DataFrame]:
        """The rows of a table after ``convert``, some at a time; they are complete once few of them were broken.

        Raises:
            UserError: the file is no such table, or more than ``max_bad_share`` of its rows are broken.
        """
        path = self._paths[name]
        first, read, broken = None, 0, 0
        try:
            for part in _ahead(parts(path, columns)):
                rows = len(part.rows) + len(part.broken)
                part = convert(part)
                list_broken(str(path), part.broken, broken, self._report)
                first = first or next(iter(part.broken), None)
                read, broken = read + rows, broken + len(part.broken)
                yield part.rows
        except NotATableError as error:
            if self._params.folder:
                raise
            path.unlink(missing_ok=True)
            raise UserError(f"{error}; the file is deleted: run again to download it again") from None
        self._report.counts["broken"] += broken
        if first and broken > self._params.max_bad_share * read:
            raise UserError(
                f"fetch.imdb.max_bad_share: {broken:,} of {read:,} rows of {path} are broken, the first is "
                f"line {first.line}: {first.reason}"
            )

    def _given(self, name: str) -> tuple[str, tuple[Path, Origin | None]]:
        folder = Path(self._params.folder or "")
        found = [path for path in (folder / f"{name}.tsv", folder / f"{name}.tsv.gz") if path.is_file()]
        if len(found) != 1:
            raise UserError(
                f"fetch.imdb.folder: {folder} has "
                + (f"both {found[0].name} and {found[1].name}" if found else f"no {name}.tsv or {name}.tsv.gz")
            )
        return name, (found[0], None)

    def _downloaded(self, name: str) -> tuple[str, tuple[Path, Origin | None]]:
        url = f"{self._params.url.rstrip('/')}/{name}.tsv.gz"
        path = storage.store() / "imdb" / re.sub(r"\W+", "-", self._params.url) / f"{name}.tsv.gz"
        return name, (path, download(url, path, longest=LONGEST))


def _ahead(read: Iterator[Part]) -> Iterator[Part]:
    """The same parts; a thread reads the next one meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, read, None)
        while (part := following.result()) is not None:
            following = pool.submit(next, read, None)
            yield part


def _version(path: Path, origin: Origin | None) -> dict[str, Any]:
    """What tells one day's table from another's."""
    return {
        "bytes": path.stat().st_size,
        "sha256": storage.sha256(path),
        "last_modified": origin.last_modified if origin else None,
    }
