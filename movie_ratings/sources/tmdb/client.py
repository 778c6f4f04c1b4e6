"""Requests to TMDB: at the shared rate, repeated after a fault, and with a limit on every answer."""

import asyncio
import email.utils
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError

from movie_ratings.core.errors import UserError
from movie_ratings.sources.tmdb.credentials import Credentials
from movie_ratings.sources.tmdb.details import in_one_line
from movie_ratings.sources.tmdb.proxy import proxy_for
from movie_ratings.sources.tmdb.rate import RateLimit

ATTEMPTS = 8
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0  # seconds
LONGEST_PAUSE = 900.0  # seconds; a longer Retry-After is cut to this
LONGEST_ANSWER: Final = 8 << 20  # bytes, after decompression; TMDB's longest answers have about 1 MB
GONE = (404, 410)

# TMDB's status codes, and the HTTP statuses that TMDB documents for them (developer.themoviedb.org/docs/errors). A body
# with such a code can arrive under HTTP 200, out of a cache for example. Codes that a reader cannot meet are left out.
HTTP_STATUS_OF: Final = {
    3: 401, 6: 404, 7: 401, 9: 503, 10: 401, 11: 500, 14: 401, 15: 500, 24: 504, 25: 429, 34: 404, 35: 401, 43: 502,
    45: 401, 46: 503,
}  # fmt: skip

Value = TypeVar("Value")


class NoAnswerError(Exception):
    """A request without a usable answer, for the reason in the message, which holds neither address nor key."""


class _AttemptError(Exception):
    """A failed attempt after which another one may succeed."""


class _Status(BaseModel):
    """The body that TMDB sends in place of an answer."""

    status_code: int


@dataclass(frozen=True)
class Answer(Generic[Value]):
    """The value of an answer, and the bytes from which the value was read."""

    value: Value
    body: bytes


class Client:
    """GET requests for JSON.

    Raises:
        UserError: HTTP_PROXY or HTTPS_PROXY holds no address of a proxy.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, credentials: Credentials, limit: RateLimit):
        self._session, self._url = session, url.rstrip("/")
        self._credentials, self._limit = credentials, limit
        self._proxy = proxy_for(url)

    async def get(self, path: str, query: Mapping[str, str], parse: Callable[[bytes], Value]) -> Answer[Value] | None:
        """The answer as ``parse`` reads it, or None where nothing is found at ``path``.

        ``parse`` raises pydantic's ``ValidationError`` for an invalid answer.

        Raises:
            NoAnswerError: every attempt failed, or the answer is invalid or too long.
            UserError: TMDB refuses the key.
        """
        for attempt in range(ATTEMPTS):
            await self._limit.wait()
            try:
                return await self._attempt(path, query, parse)
            except _AttemptError as fault:
                reason = str(fault)
            except TimeoutError:
                reason = "timeout"
            except (aiohttp.ClientError, OSError) as error:
                # The class alone: the message can hold the address, and with it the key.
                reason = f"connection lost ({type(error).__name__})"
            if attempt + 1 < ATTEMPTS:
                # Full jitter: workers that failed together do not come back together.
                await asyncio.sleep(random.uniform(0, min(LONGEST_DELAY, FIRST_DELAY * 2**attempt)))
        raise NoAnswerError(f"{reason}, {ATTEMPTS} times")

    async def _attempt(
        self, path: str, query: Mapping[str, str], parse: Callable[[bytes], Value]
    ) -> Answer[Value] | None:
        async with self._session.get(
            f"{self._url}/{path}",
            params={**query, **self._credentials.query},
            headers=self._credentials.headers,
            proxy=self._proxy,
            allow_redirects=False,  # the key goes to the address that the user named and nowhere else
        ) as response:
            status, described = response.status, f"HTTP {response.status}"
            if status == 200:
                body = await _body(response)
                try:
                    return Answer(parse(body), body)
                except ValidationError as error:
                    code = _status_code(body)
                    if code not in HTTP_STATUS_OF:
                        raise _failure(error) from None
                    status, described = HTTP_STATUS_OF[code], f"TMDB's status code {code}"
            if status in GONE:
                return None
            if status == 401:
                raise UserError(f"TMDB refused the key ({described}): check TMDB_ACCESS_TOKEN or TMDB_API_KEY")
            if status == 429:
                self._limit.pause(_retry_after(response.headers.get("Retry-After")))
            if status == 429 or status >= 500:
                raise _AttemptError(described)
            raise NoAnswerError(described)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """The body, decompressed piece by piece, up to ``LONGEST_ANSWER`` bytes."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > LONGEST_ANSWER:
            raise NoAnswerError(f"unexpected answer: longer than {LONGEST_ANSWER >> 20} MiB")
    return bytes(body)


def _status_code(body: bytes) -> int | None:
    try:
        return _Status.model_validate_json(body).status_code
    except ValidationError:
        return None


def _failure(error: ValidationError) -> Exception:
    """What an invalid body means: a body that is no JSON may be whole the next time, JSON of another shape will not."""
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return _AttemptError("not JSON, or cut short")
    return NoAnswerError(f"unexpected answer: {in_one_line(error)}")


def _retry_after(header: str | None) -> float:
    """Seconds in a Retry-After header, which holds a number or a date; 0 if the header is absent or unreadable."""
    try:
        seconds = float(header or 0)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header or "").timestamp() - time.time()
        except (ValueError, TypeError, LookupError, ArithmeticError, OSError):
            seconds = 0.0  # a date that no calendar or time zone has
    return 0.0 if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_PAUSE)
