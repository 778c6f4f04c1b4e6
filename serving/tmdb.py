"""Look-ups at TMDB for the service: one at a time, in a thread of their own, so that no prediction waits for TMDB.

This product uses the TMDB API but is not endorsed or certified by TMDB.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final, NamedTuple

from movie_ratings.core.errors import UserError
from movie_ratings.movies.text import NAMES, TEXTS
from movie_ratings.movies.validation import MovieError
from movie_ratings.sources.tmdb.lookup import API_URL, Film, Matches, Tmdb, key_in
from serving.batching import BusyError
from serving.schemas import MAX_NAME, MAX_NAMES, MAX_SUMMARY, MAX_TITLE, checked

KEPT: Final = 256  # answers in memory
FRESH: Final = 3600.0  # seconds for which an answer is kept
WAITING: Final = 8  # open look-ups; the next one is refused
TOTAL: Final = 12.0  # seconds of one look-up
PATIENCE: Final = 15.0  # seconds that a request waits, for the look-ups before its own too


class Known(NamedTuple):
    """What TMDB has of a movie today: the day of its release, if known, and a movie as a request may hold it."""

    released: date | None
    movie: dict[str, Any]


class LookUps:
    """Films and matches of TMDB, the latest ones from memory. All methods are of one event loop."""

    def __init__(self, tmdb: Tmdb):
        self._tmdb = tmdb
        self._kept: OrderedDict[Any, tuple[float, Any]] = OrderedDict()
        self._open: dict[Any, asyncio.Future[Any]] = {}
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def film(self, movie_id: int) -> Film | None:
        """The movie ``movie_id``; None if TMDB has none of this id.

        Raises:
            UserError: TMDB gives no answer.
            BusyError: too many look-ups are open.
            TimeoutError: the answer takes longer than `PATIENCE`.
        """
        found: Film | None = await self._ask(movie_id, lambda: self._tmdb.film(movie_id))
        return found

    async def known(self, movie_id: int) -> Known | None:
        """What TMDB has of the movie ``movie_id``, within the limits of a request; None if TMDB has none of this id.

        Raises:
            UserError: TMDB gives no answer, or neither a title nor a summary.
            BusyError, TimeoutError: as `film`.
        """
        film = await self.film(movie_id)
        if film is None:
            return None
        facts = request_of(film)
        try:
            checked(facts)
        except MovieError as error:
            raise UserError(f"TMDB movie {movie_id}: {error.reason}") from None
        return Known(film.record["release_date"], facts)

    async def search(self, title: str, year: int | None) -> Matches:
        """The movies that match ``title``, of ``year`` if given.

        Raises:
            ValueError: ``title`` is blank.
            UserError, BusyError, TimeoutError: as `film`.
        """
        found: Matches = await self._ask((title, year), lambda: self._tmdb.search(title, year))
        return found

    async def _ask(self, key: Any, work: Callable[[], Any]) -> Any:
        if (kept := self._kept.get(key)) and time.monotonic() - kept[0] < FRESH:
            return kept[1]
        answer = self._open.get(key)
        if answer is None:
            if len(self._open) >= WAITING:
                raise BusyError
            answer = self._open[key] = asyncio.get_running_loop().create_future()
            answer.add_done_callback(lambda done: self._done(key, done))
            self._jobs.put(_job(answer, work))
            if self._thread is None:
                # Unlike a thread of an executor, it does not hold up the end of the process.
                self._thread = threading.Thread(target=self._run, name="tmdb", daemon=True)
                self._thread.start()
        # Shielded, because another request may wait for the same answer.
        return await asyncio.wait_for(asyncio.shield(answer), PATIENCE)

    def _done(self, key: Any, answer: "asyncio.Future[Any]") -> None:
        del self._open[key]
        if answer.cancelled() or answer.exception() is not None:  # a failure is not kept
            return
        self._kept[key] = time.monotonic(), answer.result()
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def _run(self) -> None:
        while True:
            self._jobs.get()()


def of(environment: Mapping[str, str]) -> LookUps | None:
    """The look-ups with the key in ``environment``; None without a key. TMDB_API_URL replaces the address of TMDB.

    Raises:
        UserError: the value cannot be a key.
    """
    credentials = key_in(environment)
    if credentials is None:
        return None
    return LookUps(Tmdb(credentials, environment.get("TMDB_API_URL") or API_URL, total=TOTAL))


def request_of(film: Film) -> dict[str, Any]:
    """The film's facts within the limits of a request: no model reads what is cut off."""
    found = dict(film.facts)
    for field in NAMES:
        if field in found:
            found[field] = [name[:MAX_NAME] for name in found[field][:MAX_NAMES]]
    for field in TEXTS:
        if field in found:
            found[field] = found[field][: MAX_SUMMARY if field == "summary" else MAX_TITLE]
    return found


def _job(answer: "asyncio.Future[Any]", work: Callable[[], Any]) -> Callable[[], None]:
    """Work for the thread, whose outcome becomes that of ``answer`` on the loop."""
    loop = answer.get_loop()

    def finish(settle: Callable[[Any], None], outcome: Any) -> None:
        if not answer.done():
            settle(outcome)

    def run() -> None:
        outcome: Any
        try:
            settle, outcome = answer.set_result, work()
        except (UserError, ValueError) as error:
            settle, outcome = answer.set_exception, error
        except Exception as error:  # a fault of this program; its message could hold the address, and with it the key
            settle, outcome = answer.set_exception, UserError(f"TMDB: no answer ({type(error).__name__})")
        with contextlib.suppress(RuntimeError):  # the loop is closed: the service has stopped
            loop.call_soon_threadsafe(finish, settle, outcome)

    return run
