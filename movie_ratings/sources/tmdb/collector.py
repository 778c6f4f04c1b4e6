"""Filling the archive: one request for each planned movie that has no valid answer yet."""

import asyncio
import functools
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Final

import aiohttp
import numpy as np
from pydantic import BaseModel, Field
from tqdm import tqdm

from movie_ratings.core import storage
from movie_ratings.core.errors import UserError
from movie_ratings.params import Tmdb
from movie_ratings.sources.tmdb import credentials
from movie_ratings.sources.tmdb.archive import Archive, Batch, Ids
from movie_ratings.sources.tmdb.client import Client, NoAnswerError
from movie_ratings.sources.tmdb.details import APPENDED, Id, parse
from movie_ratings.sources.tmdb.discover import released
from movie_ratings.sources.tmdb.ids import BrokenExportError, export_name, planned
from movie_ratings.sources.tmdb.proxy import proxy_for
from movie_ratings.sources.tmdb.rate import RateLimit

WRITE_SECONDS = 0.1  # an answer is durable this long after its arrival, and the time that the disk needs
DAYS = 14  # the widest window of /movie/changes
PAGES = 500  # the last page of a window
LONGEST_DOWNLOAD: Final = 1 << 30  # bytes; an export has 25 million
# This many movies in a row without an answer are an outage: more requests would only lengthen the list of failures.
OUTAGE = 200


class Changed(BaseModel):
    """A movie that changed."""

    id: Id


class Changes(BaseModel):
    """The answer to /movie/changes."""

    results: list[Changed]
    total_pages: Annotated[int, Field(ge=0, le=100_000)]


async def collect(archive: Archive, params: Tmdb, exports: Path) -> Ids:
    """Bring the archive to the day of ``params.export_date``; return the planned ids.

    ``exports`` is the folder of downloaded exports.

    Raises:
        UserError: no key or a refused key, no ids, or an outage; the archive keeps every answer until then.
    """
    async with _session(params) as session:
        client = _client(session, params)
        ids = await _planned(session, params, exports)
        await _refresh(client, archive, params.export_date)
        await _request_all(client, archive, params, ids)
    return ids


async def collect_ids(archive: Archive, params: Tmdb, ids: Ids) -> None:
    """Request those of ``ids``, which rise, that the archive has no answer to.

    Raises:
        UserError: no key or a refused key, or an outage; the archive keeps every answer until then.
    """
    async with _session(params) as session:
        await _request_all(_client(session, params), archive, params, ids)


async def collect_released(archive: Archive, params: Tmdb, start: date, end: date) -> Ids:
    """Request the movies that TMDB lists with a first release from ``start`` to ``end``; return their ids, rising.

    Raises:
        UserError: as `collect_ids`; or the list cannot be had.
    """
    async with _session(params) as session:
        client = _client(session, params)
        try:
            found = await released(client, start, end, params.adult, params.video)
        except NoAnswerError as failed:
            raise UserError(f"TMDB: the films from {start} to {end}: {failed}; run again") from None
        ids = np.array(sorted(found), dtype=np.int64)
        await _request_all(client, archive, params, ids)
    return ids


async def collect_again(archive: Archive, params: Tmdb, ids: Ids) -> None:
    """Replace the stored answers of ``ids``, which rise.

    Raises:
        UserError: no key or a refused key, or an outage; the archive keeps every answer until then.
    """
    archive.forget(ids)
    async with _session(params) as session:
        await _request_all(_client(session, params), archive, params, ids)


def _session(params: Tmdb) -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=6 * params.timeout, sock_connect=params.timeout, sock_read=params.timeout)
    # The number of workers limits the connections, so the connector has no limit. Cookies are of no use to an API.
    return aiohttp.ClientSession(
        timeout=timeout, connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
    )


def _client(session: aiohttp.ClientSession, params: Tmdb) -> Client:
    return Client(session, params.api_url, credentials.load(), RateLimit(params.requests_per_second))


async def _planned(session: aiohttp.ClientSession, params: Tmdb, exports: Path) -> Ids:
    if params.ids != "export":
        return planned(params, None)
    export = await _export(session, params, exports)
    try:
        return planned(params, export)
    except BrokenExportError as error:
        export.unlink(missing_ok=True)
        raise UserError(f"{error}; the file is deleted: run again to download it again") from None


async def _export(session: aiohttp.ClientSession, params: Tmdb, folder: Path) -> Path:
    """Download the day's export unless the file exists; an incomplete download leaves no file."""
    assert params.export_date is not None
    name = export_name(params.export_date)
    path = folder / re.sub(r"\W+", "-", params.exports_url) / name
    if path.exists():
        return path
    url = f"{params.exports_url.rstrip('/')}/{name}"
    # No limit on the whole: 20 MB over a slow line take as long as they take.
    timeout = aiohttp.ClientTimeout(sock_connect=params.timeout, sock_read=params.timeout)
    try:
        # The file is stored as it is sent: the client must not unpack a .gz that says Content-Encoding: gzip.
        request = session.get(
            url,
            timeout=timeout,
            proxy=proxy_for(url),
            auto_decompress=False,
            headers={"Accept-Encoding": "identity"},
        )
        async with request as response:
            if response.status != 200:
                raise UserError(
                    f"fetch.tmdb.export_date: no export of {params.export_date} at {params.exports_url} "
                    f"(HTTP {response.status}); TMDB keeps those of the last three months"
                )
            bar = tqdm(desc=name, total=response.content_length, unit="B", unit_scale=True)
            with storage.whole(path) as temporary, temporary.open("wb") as file, bar:
                async for chunk in response.content.iter_chunked(1 << 20):
                    if file.tell() > LONGEST_DOWNLOAD:
                        raise UserError(f"{url}: longer than {LONGEST_DOWNLOAD >> 20:,} MiB, which is no export")
                    file.write(chunk)
                    bar.update(len(chunk))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise UserError(f"{url}: download failed ({type(error).__name__}); run again") from None
    return path


async def _refresh(client: Client, archive: Archive, day: date | None) -> None:
    """Mark the movies that changed between the archive's day and ``day``, window by window."""
    if day is None:
        return
    current = archive.current or day
    if current == day:
        archive.set_current(day)
    while current < day:
        end = min(day, current + timedelta(days=DAYS - 1))
        try:
            changed = await _changes(client, current, end)
        except NoAnswerError as failed:
            raise UserError(f"fetch.tmdb: what changed from {current} to {end}: {failed}; run again") from None
        archive.set_current(end, changed)
        current = end


async def _changes(client: Client, start: date, end: date) -> set[int]:
    changed: set[int] = set()
    page = pages = 1
    while page <= pages:
        query = {"start_date": start.isoformat(), "end_date": end.isoformat(), "page": str(page)}
        answer = await client.get("movie/changes", query, Changes.model_validate_json)
        if answer is None:
            raise NoAnswerError("HTTP 404")
        pages = answer.value.total_pages
        if pages > PAGES and start < end:
            middle = start + (end - start) // 2
            return await _changes(client, start, middle) | await _changes(client, middle + timedelta(days=1), end)
        if pages > PAGES:
            raise NoAnswerError(f"{pages:,} pages for one day, of which the API gives {PAGES}")
        changed |= {movie.id for movie in answer.value.results}
        page += 1
    return changed


class _Work:
    """The workers' shared state: the remaining ids, and the outcomes that are not written yet."""

    def __init__(self, ids: Ids, progress: tqdm):
        self.ids, self.progress = iter(ids.tolist()), progress
        self.batch = Batch()
        self.failed = self.failed_in_a_row = 0

    def take(self) -> Batch:
        batch, self.batch = self.batch, Batch()
        return batch

    def count(self, failed: bool) -> None:
        self.failed += failed
        self.failed_in_a_row = self.failed_in_a_row + 1 if failed else 0
        self.progress.update()
        if failed:
            self.progress.set_postfix(failed=self.failed)


async def _request_all(client: Client, archive: Archive, params: Tmdb, ids: Ids) -> None:
    left = np.setdiff1d(ids, archive.known(params.keep_raw), assume_unique=True)
    with tqdm(desc="TMDB", total=len(ids), initial=len(ids) - len(left), unit=" movies") as progress:
        work = _Work(left, progress)
        try:
            async with asyncio.TaskGroup() as group:
                workers = [group.create_task(_worker(client, params, work)) for _ in range(params.concurrency)]
                group.create_task(_keep_writing(archive, work, workers))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            archive.add(work.take())


async def _worker(client: Client, params: Tmdb, work: _Work) -> None:
    query = {"append_to_response": APPENDED, "language": params.language}
    for movie_id in work.ids:
        try:
            answer = await client.get(f"movie/{movie_id}", query, functools.partial(parse, movie_id=movie_id))
        except NoAnswerError as failed:
            work.batch.failed.append((movie_id, str(failed)))
            work.count(failed=True)
            if work.failed_in_a_row >= OUTAGE:
                raise UserError(
                    f"fetch.source tmdb: {OUTAGE} movies in a row without an answer (the last: {failed}); "
                    "the answers until now are kept: run again later"
                ) from None
            continue
        if answer is None:
            work.batch.gone.append(movie_id)
        else:
            raw = answer.body if params.keep_raw else None
            work.batch.found.append((movie_id, answer.value.model_dump_json(exclude_none=True), raw))
        work.count(failed=False)


async def _keep_writing(archive: Archive, work: _Work, workers: list[asyncio.Task[None]]) -> None:
    while not all(worker.done() for worker in workers):
        await asyncio.sleep(WRITE_SECONDS)
        # In a thread: the disk must not hold up the network.
        await asyncio.to_thread(archive.add, work.take())
