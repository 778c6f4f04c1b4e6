"""What TMDB has answered, in an SQLite file: durable a fraction of a second after it came, kept between runs.

One file holds the answers of one API address in one language. Small and large tables are apart, so that planning reads
a few bytes a movie and not the texts. SQLite makes each batch whole or absent, whenever the power goes.
"""

import contextlib
import hashlib
import json
import sqlite3
import threading
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Self

import filelock
import numpy as np
import numpy.typing as npt

from movie_ratings.core.errors import UserError

Ids = npt.NDArray[np.int64]

SCHEMA = """
    CREATE TABLE IF NOT EXISTS answers (id INTEGER PRIMARY KEY, gone INTEGER, has_raw INTEGER, stale INTEGER);
    CREATE TABLE IF NOT EXISTS bodies (id INTEGER PRIMARY KEY, details BLOB, raw BLOB);
    CREATE TABLE IF NOT EXISTS failures (id INTEGER PRIMARY KEY, reason TEXT);
    CREATE TABLE IF NOT EXISTS current (day TEXT);
"""


@dataclass
class Batch:
    """Outcomes of a moment: details with their raw answers, or None; ids that are gone; failures with their reason."""

    found: list[tuple[int, str, bytes | None]] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    failed: list[tuple[int, str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.found or self.gone or self.failed)


class Archive:
    """The answers on disk; one process at a time has them open."""

    def __init__(self, folder: Path, api_url: str, language: str):
        question = json.dumps([api_url.rstrip("/"), language])
        self.path = folder / f"tmdb-{hashlib.sha256(question.encode()).hexdigest()[:16]}.sqlite"
        # A batch is written from a thread that may outlive the task that waits for it.
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(filelock.FileLock(f"{self.path}.lock").acquire(blocking=False))
                self._database = sqlite3.connect(self.path, check_same_thread=False)
                stack.callback(self._database.close)
                self._database.execute("PRAGMA journal_mode = WAL")
                self._database.execute("PRAGMA synchronous = FULL")
                self._database.executescript(SCHEMA)
            except filelock.Timeout:
                raise UserError(f"{self.path}: another process is collecting into it; wait for it or stop it") from None
            except sqlite3.DatabaseError as error:
                raise UserError(f"{self.path}: not a readable store ({error}); move it away to start afresh") from None
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._stack.close()

    def add(self, batch: Batch) -> None:
        """Write outcomes durably. An answer replaces what was known; a failure leaves an older answer standing.

        Raises:
            UserError: the disk does not take them.
        """
        if not batch:
            return
        with self._lock:
            try:
                self._write(batch)
            except sqlite3.Error as error:
                raise UserError(f"{self.path}: {error}") from None

    def known(self, with_raw: bool) -> Ids:
        """Ids that need not be asked for, rising: gone, or answered, not changed since, and with a raw answer."""
        rows = self._database.execute(
            "SELECT id FROM answers WHERE NOT stale AND (gone OR has_raw >= ?) ORDER BY id", [with_raw]
        )
        return np.fromiter((movie_id for (movie_id,) in rows), dtype=np.int64)

    def gone(self) -> Ids:
        """Ids that TMDB no longer has, rising."""
        rows = self._database.execute("SELECT id FROM answers WHERE gone ORDER BY id")
        return np.fromiter((movie_id for (movie_id,) in rows), dtype=np.int64)

    def failures(self) -> Iterator[tuple[int, str]]:
        """Ids whose last question failed, rising, each with the reason."""
        return iter(self._database.execute("SELECT id, reason FROM failures ORDER BY id"))

    def details(self) -> Iterator[tuple[int, bytes]]:
        """Every id that was found, rising, and its details as JSON."""
        for movie_id, packed in self._database.execute("SELECT id, details FROM bodies ORDER BY id"):
            yield movie_id, zlib.decompress(packed)

    @property
    def current(self) -> date | None:
        """The day to which changes are known; None in a new store."""
        row = self._database.execute("SELECT day FROM current").fetchone()
        return date.fromisoformat(row[0]) if row else None

    def set_current(self, day: date, changed: Iterable[int] = ()) -> None:
        """Record that what changed up to ``day`` is known; ``changed`` is what must be asked for again."""
        with self._database as database:
            database.executemany("UPDATE answers SET stale = 1 WHERE id = ?", ((movie_id,) for movie_id in changed))
            database.execute("DELETE FROM current")
            database.execute("INSERT INTO current VALUES (?)", [day.isoformat()])

    def _write(self, batch: Batch) -> None:
        answered = [(movie_id,) for movie_id in [*(movie_id for movie_id, *_ in batch.found), *batch.gone]]
        with self._database as database:
            database.executemany(
                "INSERT OR REPLACE INTO answers VALUES (?, 0, ?, 0)",
                [(movie_id, raw is not None) for movie_id, _, raw in batch.found],
            )
            database.executemany(
                "INSERT OR REPLACE INTO bodies VALUES (?, ?, ?)",
                [(movie_id, _packed(details.encode()), raw and _packed(raw)) for movie_id, details, raw in batch.found],
            )
            database.executemany(
                "INSERT OR REPLACE INTO answers VALUES (?, 1, 0, 0)", [(movie_id,) for movie_id in batch.gone]
            )
            database.executemany("DELETE FROM bodies WHERE id = ?", [(movie_id,) for movie_id in batch.gone])
            database.executemany("DELETE FROM failures WHERE id = ?", answered)
            database.executemany("INSERT OR REPLACE INTO failures VALUES (?, ?)", batch.failed)


def _packed(data: bytes) -> bytes:
    return zlib.compress(data, 1)
