"""Ask TMDB for one movie: by its id, or by its title. One request at a time, each answer in a bounded time.

The answer becomes the same movie record as that of the source `tmdb`, by the same parser. This module imports neither
the collector's libraries nor Polars: the service imports it.

This product uses the TMDB API but is not endorsed or certified by TMDB.
"""

import functools
import logging
import re
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Final, Self, TypeVar

import requests
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3 import BaseHTTPResponse, Retry, Timeout
from urllib3 import exceptions as faults

from movie_ratings.core.errors import UserError
from movie_ratings.movies.release import with_year
from movie_ratings.movies.text import FIELDS
from movie_ratings.sources.network import reason
from movie_ratings.sources.tmdb import credentials
from movie_ratings.sources.tmdb.answers import GONE, HTTP_STATUS_OF, LONGEST_ANSWER, retry_after, status_code
from movie_ratings.sources.tmdb.credentials import Credentials
from movie_ratings.sources.tmdb.details import APPENDED, Details, Id, Language, Title, in_one_line, movie, parse
from movie_ratings.sources.values import day

# The defaults of fetch.tmdb in params.yaml, which the service does not read.
API_URL: Final = "https://api.themoviedb.org/3"
LANGUAGE: Final = "en-US"
CAST_SIZE: Final = 10

ATTEMPTS: Final = 4  # requests without a whole answer
FIRST_DELAY: Final = 0.5  # seconds before the second one
PER_SECOND: Final = 10.0  # requests, at most
TIMEOUT: Final = 5.0  # seconds until the head of an answer is there, and then without a byte
# Seconds from the question to the answer: attempts begin in the first half, bodies are read in three quarters, and the
# last quarter is the timeout of what has begun.
TOTAL: Final = 20.0
LONGEST_QUERY: Final = 500  # characters of a title that is searched
BUSY: Final = (429, 500, 502, 503, 504)
CHUNK: Final = 1 << 16  # bytes
SECRET: Final = re.compile(r"(api_key=)[^&\s'\")]+")

Value = TypeVar("Value")


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class Match(_Shape):
    """A movie that a search found."""

    id: Id
    title: Title = ""
    original_title: Title = ""
    original_language: Language | None = None
    release_date: Annotated[str, Field(max_length=10)] | None = None

    @property
    def released(self) -> date | None:
        """The day of release, which may be to come; None if it is not known."""
        return day(self.release_date)


class Matches(_Shape):
    """The first matches of a search, at most twenty, and how many there are."""

    results: Annotated[list[Match], Field(max_length=100)]
    total_results: Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Film:
    """A movie of TMDB: its record, with the columns of `movie_ratings.movies.record.MOVIE`."""

    record: Mapping[str, Any]

    @property
    def facts(self) -> dict[str, Any]:
        """What is known of the movie before its release, by the names of `FIELDS`; no rating, no votes, no popularity.

        A budget or a runtime of 0, and empty lists and texts, are left out: they are not known.
        """
        known = with_year(self.record)
        return {field: known[field] for field in FIELDS if known.get(field)}


class _Key(AuthBase):
    """The user's key in each request. An entry of .netrc would otherwise stand in for a key in a header."""

    def __init__(self, headers: Mapping[str, str]):
        self._headers = headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        return request


class _LateError(faults.HTTPError):
    """The time for an answer is over, or would be before the next attempt."""


class _BrokenError(Exception):
    """An answer that may be whole the next time."""


class _Patience(Retry):
    """Repeats of a request until the moment ``until``."""

    until: float = 0.0

    def new(self, **changes: Any) -> Self:
        """The repeats that are left after an attempt."""
        left = super().new(**changes)
        left.until = self.until
        return left

    def sleep(self, response: BaseHTTPResponse | None = None) -> None:
        """Wait as long as TMDB asks for, or else a little longer after each attempt."""
        asked = retry_after(response.headers.get("Retry-After")) if response is not None else 0.0
        seconds = asked or self.get_backoff_time()
        if time.monotonic() + seconds > self.until:
            pause = f"; it asks for a pause of {asked:.0f} seconds" if asked else ""
            raise _LateError(f"no answer in time{pause}")
        time.sleep(seconds)


class _Redacted(logging.Filter):
    """Takes keys out of urllib3's log, whose lines hold the addresses of requests."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record's message; keep every record."""
        message = record.getMessage()
        if SECRET.search(message):
            record.msg, record.args = SECRET.sub(r"\1…", message), None
        return True


REDACTED: Final = _Redacted()
for _name in ("urllib3.connectionpool", "urllib3.util.retry"):
    logging.getLogger(_name).addFilter(REDACTED)


class Tmdb:
    """TMDB, as one user asks it. The methods may be called from several threads, whose requests follow one another."""

    def __init__(
        self,
        key: Credentials,
        api_url: str = API_URL,
        language: str = LANGUAGE,
        cast_size: int = CAST_SIZE,
        total: float = TOTAL,
    ):
        self._credentials, self._url = key, api_url.rstrip("/")
        self._language, self._cast_size, self._total = language, cast_size, total
        self._turn = threading.Lock()
        self._next = 0.0  # the moment of the next request

    def film(self, movie_id: int) -> Film | None:
        """The movie ``movie_id``; None if TMDB has none of this id.

        Raises:
            UserError: TMDB cannot be reached, refuses the key, or answers with what is no movie.
        """
        details = self._get(
            f"movie/{movie_id}",
            {"append_to_response": APPENDED, "language": self._language},
            functools.partial(parse, movie_id=movie_id),
        )
        return None if details is None else self._film(details)

    def search(self, title: str, year: int | None = None) -> Matches:
        """The movies whose title, in any language, matches ``title``, the most popular first; of ``year`` if given.

        Raises:
            ValueError: ``title`` is empty or too long.
            UserError: as `film`.
        """
        title = " ".join(title.split())
        if not title or len(title) > LONGEST_QUERY:
            raise ValueError(f"expected a title of 1 to {LONGEST_QUERY} characters, found {len(title):,}")
        query = {"query": title, "language": self._language, "include_adult": "false", "page": "1"}
        if year is not None:
            query["year"] = str(year)
        found = self._get("search/movie", query, Matches.model_validate_json)
        if found is None:
            raise UserError("TMDB: no search at this address (HTTP 404)")
        return found

    def _film(self, details: Details) -> Film:
        return Film(movie(details, self._cast_size))

    def _get(self, path: str, query: Mapping[str, str], parse: Callable[[bytes], Value]) -> Value | None:
        """The answer as ``parse`` reads it, None where nothing is found at ``path``."""
        with self._turn, requests.Session() as session:
            now = time.monotonic()
            last_start, until = now + self._total / 2, now + self._total * 3 / 4
            session.auth = _Key(self._credentials.headers)
            for scheme in ("http://", "https://"):
                session.mount(scheme, HTTPAdapter(max_retries=_patience(last_start)))
            for attempt in range(ATTEMPTS):
                self._wait()
                try:
                    return self._attempt(session, path, query, parse, until)
                except _BrokenError as fault:
                    why = f"{fault}, {attempt + 1} times"
                except _LateError as late:
                    raise UserError(f"TMDB: {late}; try again later") from None
                # The libraries' messages hold the address, and with it the key. Odd headers raise what the standard
                # library raises for them.
                except (requests.RequestException, faults.HTTPError, ValueError, ArithmeticError, OSError) as error:
                    raise UserError(f"TMDB: {reason(error)}; try again later") from None
                if time.monotonic() + FIRST_DELAY > last_start:
                    break
                time.sleep(FIRST_DELAY)
        raise UserError(f"TMDB: {why}; try again later")

    def _wait(self) -> None:
        now = time.monotonic()
        moment = max(self._next, now)
        self._next = moment + 1 / PER_SECOND
        time.sleep(moment - now)

    def _attempt(
        self,
        session: requests.Session,
        path: str,
        query: Mapping[str, str],
        parse: Callable[[bytes], Value],
        until: float,
    ) -> Value | None:
        timeout: Any = Timeout(total=min(TIMEOUT, self._total / 4))
        with session.get(
            f"{self._url}/{path}",
            params={**query, **self._credentials.query},
            headers={"Accept": "application/json", "Accept-Encoding": "gzip"},
            stream=True,
            timeout=timeout,
            allow_redirects=False,  # the key goes to the address that the user named and nowhere else
        ) as response:
            status, described = response.status_code, f"HTTP {response.status_code}"
            if status == 200:
                body = _body(response, until)
                try:
                    return parse(body)
                except ValidationError as error:
                    code = status_code(body)
                    if code not in HTTP_STATUS_OF:
                        raise _failure(error) from None
                    status, described = HTTP_STATUS_OF[code], f"TMDB's status code {code}"
        if status in GONE:
            return None
        if status == 401:
            raise UserError(f"TMDB refused the key ({described}): check TMDB_ACCESS_TOKEN or TMDB_API_KEY")
        if response.status_code in BUSY:
            raise UserError(f"TMDB: {described}; try again later")
        if status in BUSY:  # in the body alone, which urllib3 does not read
            raise _BrokenError(described)
        if 300 <= status < 400:
            raise UserError(f"TMDB: {described}, a redirect, which would take the key to another address")
        raise UserError(f"TMDB: {described}")


def _patience(until: float) -> _Patience:
    """Repeats of a request that no answer came to, or that came at a bad time."""
    patience = _Patience(
        total=ATTEMPTS - 1,
        redirect=0,
        status_forcelist=BUSY,
        allowed_methods={"GET"},
        backoff_factor=FIRST_DELAY,
        backoff_jitter=FIRST_DELAY / 2,
        raise_on_status=False,  # the last answer is then judged like any other
    )
    patience.until = until
    return patience


def key_in(environment: Mapping[str, str]) -> Credentials | None:
    """The key in an environment; None if it has none.

    Raises:
        UserError: the value cannot be a key.
    """
    return credentials.among(environment)


def _body(response: requests.Response, until: float) -> bytes:
    """The body, unpacked piece by piece, up to `LONGEST_ANSWER` bytes, before the moment ``until``."""
    packed = response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity")
    unpacker = zlib.decompressobj(wbits=47)  # gzip and deflate, the encodings that a server may use here
    body = bytearray()
    try:
        # A piece is what has arrived: a read of a fixed number of bytes would wait for them for as long as some come.
        while piece := response.raw.read1(CHUNK, decode_content=False):
            body += unpacker.decompress(piece, LONGEST_ANSWER + 1 - len(body)) if packed else piece
            if len(body) > LONGEST_ANSWER:
                raise UserError(f"TMDB: unexpected answer: longer than {LONGEST_ANSWER >> 20} MiB")
            if time.monotonic() > until:
                raise _LateError("no whole answer in time")
    except zlib.error:
        raise _BrokenError("an answer that cannot be unpacked") from None
    except _LateError:
        raise
    except (faults.HTTPError, OSError) as error:
        raise _BrokenError(f"the connection was lost ({type(error).__name__})") from None
    return bytes(body)


def _failure(error: ValidationError) -> Exception:
    """What an invalid body means: a body that is no JSON may be whole the next time, JSON of another shape will not."""
    if error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid":
        return _BrokenError("not JSON, or cut short")
    return UserError(f"TMDB: unexpected answer: {in_one_line(error)}")
