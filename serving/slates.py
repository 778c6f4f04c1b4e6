"""The slates of a folder (`python -m stages.slate`) for the page: read on demand, bounded, and kept in memory."""

import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa

from movie_ratings.core import parquet
from movie_ratings.core.errors import UserError, first_line
from movie_ratings.movies.labels import CLASSES
from movie_ratings.prediction.slates import SLATE, ranked

SNAPSHOTS: Final = 100  # files that are listed, the newest
BYTES: Final = 64 << 20  # of a file
FILMS: Final = 100_000  # in a file
LISTED: Final = 10_000  # films of a slate that are kept and can be downloaded, those with the best predicted rating
KEPT: Final = 2  # slates in memory
# DATE, or DATE-HHMMSS where a day has several. In the order of their names, they are in the order of time.
NAME: Final = re.compile(r"\d{4}-\d\d-\d\d(?:-\d{6}(?:-\d{1,4})?)?")
REQUIRED: Final = (
    "id", "label", "predicted_rating", "predicted_rating_low", "predicted_rating_high",
    *(f"probability_{name}" for name in CLASSES), "model_version", "asked",
)  # fmt: skip
READ: Final = pa.schema([SLATE.field(name) for name in ("title", "release_date", "genres", "directors", *REQUIRED)])
LOG: Final = logging.getLogger("serving")


class Slate(NamedTuple):
    """The best films of a slate, as rows of `movie_ratings.prediction.slates.ranked`, and what they come from."""

    name: str
    asked: datetime
    version: str  # of the model
    total: int  # films of the slate; `films` has at most `LISTED`
    films: Sequence[Mapping[str, Any]]
    stamp: str  # another one where the file has changed


class Slates:
    """The slates of ``folder``. The methods read from the disk, and may be called from several threads."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._kept: OrderedDict[tuple[str, int, int], Slate | str] = OrderedDict()
        self._reading = threading.Lock()

    def names(self) -> list[str]:
        """The slates of the folder without their suffix, the newest first; files with other names are none.

        Raises:
            UserError: the folder cannot be read.
        """
        try:
            found = [path.stem for path in self._folder.glob("*.parquet") if NAME.fullmatch(path.stem)]
        except OSError:
            raise UserError("the folder of slates cannot be read") from None
        return sorted(found, reverse=True)[:SNAPSHOTS]

    def read(self, name: str) -> Slate:
        """The slate ``name``, from memory if its file has not changed.

        Raises:
            UserError: there is no such slate, or the file is none or too large. The message has no path.
        """
        if not NAME.fullmatch(name):
            raise UserError("there is no such slate")
        path = self._folder / f"{name}.parquet"
        with self._reading:
            try:
                status = path.stat()
            except OSError:
                raise UserError(f"{path.name}: no longer in the folder of slates") from None
            key = name, status.st_mtime_ns, status.st_size
            # What cannot be read is kept too, so that a damaged file costs no more than a good one.
            found = self._kept.pop(key, None) or _read(path, f"{status.st_mtime_ns:x}", status.st_size)
            self._kept[key] = found
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        if isinstance(found, str):
            raise UserError(found)
        return found


def _read(path: Path, stamp: str, size: int) -> Slate | str:
    """The slate of a file, or the reason why there is none."""
    if size > BYTES:
        return f"{path.name}: larger than {BYTES >> 20} MB"
    try:
        batches, count = [], 0
        for batch in parquet.read_batches(path, READ):
            count += batch.num_rows
            if count > FILMS:
                return f"{path.name}: more than {FILMS:,} films"
            batches.append(batch)
        table = pa.Table.from_batches(batches, READ)
        table.validate(full=True)
        for field in REQUIRED:
            if table[field].null_count:
                raise UserError(f"{field}: empty in some rows")
        if not count:
            return f"{path.name}: a slate without films"
        best = table.sort_by([("predicted_rating", "descending"), ("id", "ascending")]).slice(0, LISTED)
        asked, version = best["asked"][0].as_py(), best["model_version"][0].as_py()
        return Slate(path.stem, asked, version, count, ranked(best.drop_columns(["asked"])), stamp)
    # Whatever a foreign file holds, it must be no more than one line of the page.
    except Exception as error:
        LOG.warning("a slate cannot be read", extra={"details": {"file": path.name, "reason": first_line(error)}})
        return f"{path.name}: no slate that can be read"
