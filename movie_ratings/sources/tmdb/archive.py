"""TMDB's answers in an SQLite file: durable a fraction of a second after they arrive, kept between runs.

One file holds the answers of one API address in one language. Small and large tables are separate, so that planning
reads a few bytes a movie and not the texts. SQLite stores each batch completely or not at all, also after a power cut.
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

import numpy as np
import numpy.typing as npt

from movie_ratings.core.errors import UserError, first_line
from movie_ratings.core.locks import locked

Ids = npt.NDArray[np.int64]

SCHEMA = """
    CREATE TABLE IF NOT EXISTS answers (id INTEGER PRIMARY KEY, gone INTEGER, has_raw INTEGER, stale INTEGER);
    CREATE TABLE IF NOT EXISTS bodies (id INTEGER PRIMARY KEY, details BLOB, raw BLOB);
    CREATE TABLE IF NOT EXISTS failures (id INTEGER PRIMARY KEY, reason TEXT);
    CREATE TABLE IF NOT EXISTS current (day TEXT);
"""


@dataclass
class Batch:
    """Outcomes of requests: found movies (id, details, raw answer or None), gone ids, failures (id, reason)."""

    found: list[tuple[int, str, bytes | None]] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    failed: list[tuple[int, str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.found or self.gone or self.failed)


class Archive:
    """The answers on disk. One process at a time opens an archive; another one waits, and then finds its answers.

    Every method raises a UserError if the file is damaged or the disk fails.
    """

    def __init__(self, folder: Path, api_url: str, language: str):
        question = json.dumps([api_url.rstrip("/"), language])
        self.path = folder / f"tmdb-{hashlib.sha256(question.encode()).hexdigest()[:16]}.sqlite"
        # A batch is written from a thread that may outlive the task that waits for it.
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            stack.enter_context(locked(self.path))
            with self._named_errors():
                self._database = sqlite3.connect(self.path, check_same_thread=False)
                stack.callback(self._database.close)
                # A damaged cell may be text that is no UTF-8, for which SQLite's error would blame no file.
                self._database.text_factory = lambda text: text.decode("utf-8", "replace")
                self._database.execute("PRAGMA journal_mode = WAL")
                self._database.execute("PRAGMA synchronous = FULL")
                self._database.executescript(SCHEMA)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._stack.close()

    def add(self, batch: Batch) -> None:
        """Write outcomes durably. An answer replaces an older answer; a failure leaves an older answer in place."""
        if not batch:
            return
        with self._lock, self._named_errors():
            self._write(batch)

    def known(self, with_raw: bool) -> Ids:
        """Ids that need no request, rising: gone, or answered, not changed since, and with a raw answer if asked."""
        return self._ids("SELECT id FROM answers WHERE NOT stale AND (gone OR has_raw >= ?) ORDER BY id", with_raw)

    def gone(self) -> Ids:
        """Ids that TMDB no longer has, rising."""
        return self._ids("SELECT id FROM answers WHERE gone ORDER BY id")

    def failures(self) -> Iterator[tuple[int, str]]:
        """Ids whose last request failed, rising, each with the reason."""
        with self._named_errors():
            for movie_id, reason in self._database.execute("SELECT id, CAST(reason AS TEXT) FROM failures ORDER BY id"):
                yield movie_id, reason or "unknown"

    def details(self, after: int, count: int) -> list[tuple[int, bytes]]:
        """The next ``count`` found ids above ``after``, rising, each with its details as JSON (b"" if unreadable)."""
        with self._named_errors():
            rows = self._database.execute(
                "SELECT id, details FROM bodies WHERE id > ? ORDER BY id LIMIT ?", [after, count]
            ).fetchall()
            previous = after
            for movie_id, _ in rows:
                if movie_id <= previous:  # a damaged index; the caller would ask for the same rows for ever
                    raise sqlite3.DatabaseError("ids out of order")
                previous = movie_id
        return [(movie_id, _unpacked(packed)) for movie_id, packed in rows]

    def forget(self, ids: Ids) -> None:
        """Delete the answers of ``ids``, which the next collection requests again."""
        rows = [(movie_id,) for movie_id in ids.tolist()]
        with self._lock, self._named_errors(), self._database as database:
            database.executemany("DELETE FROM answers WHERE id = ?", rows)
            database.executemany("DELETE FROM bodies WHERE id = ?", rows)

    @property
    def current(self) -> date | None:
        """The day to which changes are known; None in a new store."""
        with self._named_errors():
            row = self._database.execute("SELECT day FROM current").fetchone()
            try:
                return date.fromisoformat(row[0]) if row else None
            except (TypeError, ValueError):
                raise sqlite3.DatabaseError("the day of the last changes is no day") from None

    def set_current(self, day: date, changed: Iterable[int] = ()) -> None:
        """Record that changes up to ``day`` are known; the movies ``changed`` are requested again."""
        with self._lock, self._named_errors(), self._database as database:
            database.executemany("UPDATE answers SET stale = 1 WHERE id = ?", ((movie_id,) for movie_id in changed))
            database.execute("DELETE FROM current")
            database.execute("INSERT INTO current VALUES (?)", [day.isoformat()])

    def _ids(self, query: str, *parameters: object) -> Ids:
        with self._named_errors():
            rows = self._database.execute(query, parameters)
            return np.fromiter((movie_id for (movie_id,) in rows), dtype=np.int64)

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Turn SQLite's errors into user errors that name the file."""
        try:
            yield
        except sqlite3.OperationalError as error:  # a full disk, a missing permission
            raise UserError(f"{self.path}: {first_line(error)}") from None
        except sqlite3.Error as error:
            raise UserError(
                f"{self.path}: not a readable store ({first_line(error)}); move it away to start afresh"
            ) from None

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


def _unpacked(packed: object) -> bytes:
    """The JSON that `_packed` compressed; b"" from a damaged cell."""
    try:
        return zlib.decompress(packed)  # type: ignore[arg-type]  # SQLite's cells have any type
    except (zlib.error, TypeError):
        return b""
