"""Asking TMDB: at the shared rate, and again after a fault."""

import asyncio
import email.utils
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError

from movie_ratings.core.errors import UserError
from movie_ratings.sources.tmdb.credentials import Credentials
from movie_ratings.sources.tmdb.rate import RateLimit

ATTEMPTS = 8
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0  # seconds
LONGEST_PAUSE = 900.0  # seconds: a server that asks for more is not believed
GONE = (404, 410)

Shape = TypeVar("Shape", bound=BaseModel)


class NoAnswerError(Exception):
    """A question without an answer, for the reason that the message gives; it holds no address and no key."""


class _AttemptError(Exception):
    """One attempt that failed in a way that the next may not."""


@dataclass(frozen=True)
class Answer(Generic[Shape]):
    """What was asked for, and the bytes that it was read from."""

    value: Shape
    body: bytes


class Client:
    """GET requests for JSON of a known shape."""

    def __init__(self, session: aiohttp.ClientSession, url: str, credentials: Credentials, limit: RateLimit):
        self._session, self._url = session, url.rstrip("/")
        self._credentials, self._limit = credentials, limit

    async def get(self, path: str, query: Mapping[str, str], shape: type[Shape]) -> Answer[Shape] | None:
        """The answer, or None where there is nothing (any more) at ``path``.

        Raises:
            NoAnswerError: every attempt met a fault, or the answer is JSON of another shape.
            UserError: the key is refused.
        """
        for attempt in range(ATTEMPTS):
            await self._limit.wait()
            try:
                return await self._attempt(path, query, shape)
            except _AttemptError as fault:
                reason = str(fault)
            except TimeoutError:
                reason = "timeout"
            except (aiohttp.ClientError, OSError) as error:
                # Only the kind: the message of some of these holds the address, and with it the key.
                reason = f"connection lost ({type(error).__name__})"
            if attempt + 1 < ATTEMPTS:
                # Full jitter: workers that failed together do not come back together.
                await asyncio.sleep(random.uniform(0, min(LONGEST_DELAY, FIRST_DELAY * 2**attempt)))
        raise NoAnswerError(f"{reason}, {ATTEMPTS} times")

    async def _attempt(self, path: str, query: Mapping[str, str], shape: type[Shape]) -> Answer[Shape] | None:
        async with self._session.get(
            f"{self._url}/{path}",
            params={**query, **self._credentials.query},
            headers=self._credentials.headers,
            allow_redirects=False,  # the key goes to the address that the user named and nowhere else
        ) as response:
            status = response.status
            if status == 200:
                return _parsed(await response.read(), shape)
            if status in GONE:
                return None
            if status == 401:
                raise UserError("TMDB refused the key (HTTP 401): check TMDB_ACCESS_TOKEN or TMDB_API_KEY")
            if status == 429:
                self._limit.pause(_retry_after(response.headers.get("Retry-After")))
            if status == 429 or status >= 500:
                raise _AttemptError(f"HTTP {status}")
            raise NoAnswerError(f"HTTP {status}")


def _parsed(body: bytes, shape: type[Shape]) -> Answer[Shape]:
    try:
        return Answer(shape.model_validate_json(body), body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise _AttemptError("not JSON, or cut short") from None
        key = ".".join(str(part) for part in first["loc"])
        raise NoAnswerError(f"unexpected answer: {key}: {first['msg']}") from None


def _retry_after(header: str | None) -> float:
    """Seconds that a Retry-After header asks for, as a number or as a date; 0 without one that can be read."""
    try:
        seconds = float(header or 0)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header or "").timestamp() - time.time()
        except ValueError:
            seconds = 0.0
    return min(max(seconds, 0.0), LONGEST_PAUSE) if seconds == seconds else 0.0
