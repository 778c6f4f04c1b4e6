"""Requests to TMDB: at the shared rate, repeated after a fault, and with a limit on every answer."""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import aiohttp
from pydantic import ValidationError

from movie_ratings.core.errors import UserError
from movie_ratings.sources.tmdb.answers import GONE, HTTP_STATUS_OF, LONGEST_ANSWER, retry_after, status_code
from movie_ratings.sources.tmdb.credentials import Credentials
from movie_ratings.sources.tmdb.details import in_one_line
from movie_ratings.sources.tmdb.proxy import proxy_for
from movie_ratings.sources.tmdb.rate import RateLimit

ATTEMPTS = 8
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0  # seconds

Value = TypeVar("Value")


class NoAnswerError(Exception):
    """A request without a usable answer, for the reason in the message, which holds neither address nor key."""


class _AttemptError(Exception):
    """A failed attempt after which another one may succeed."""


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
                    code = status_code(body)
                    if code not in HTTP_STATUS_OF:
                        raise _failure(error) from None
                    status, described = HTTP_STATUS_OF[code], f"TMDB's status code {code}"
            if status in GONE:
                return None
            if status == 401:
                raise UserError(f"TMDB refused the key ({described}): check TMDB_ACCESS_TOKEN or TMDB_API_KEY")
            if status == 429:
                self._limit.pause(retry_after(response.headers.get("Retry-After")))
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


def _failure(error: ValidationError) -> Exception:
    """What an invalid body means: a body that is no JSON may be whole the next time, JSON of another shape will not."""
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return _AttemptError("not JSON, or cut short")
    return NoAnswerError(f"unexpected answer: {in_one_line(error)}")
