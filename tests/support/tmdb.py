"""A server that speaks like TMDB, over real HTTP, with the latency and the faults that it is told to have.

`python -m tests.support.tmdb '{"movies": 100}'` prints its port and serves until it is stopped; `Server` does that for
a test or a benchmark. Everything that it says is a pure function of its settings and of the movie's number.
"""

import asyncio
import contextlib
import gzip
import json
import random
import subprocess
import sys
import time
import urllib.request
import zlib
from base64 import b64decode
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Self

from aiohttp import web

KEY = "k3y-of-the-tests"
PAGE = 100  # of /movie/changes
RESULTS = 20  # on a page of /search/movie and /discover/movie
RETRY_AFTER = ["0", "0.1", "soon", "Wed, 21 Oct 2015 07:28:00 +99999999999999999999"]


@dataclass
class Settings:
    """What the server has and how it behaves."""

    movies: int = 100  # ids 1 to this
    day: str = "2026-01-01"  # of the newest export
    added: dict[str, list[int]] = field(default_factory=dict)  # day: ids that exist from then on
    changed: dict[str, list[int]] = field(default_factory=dict)  # day: ids that changed on it
    gone: list[int] = field(default_factory=list)  # still in the export, but 404
    latency: float = 0.0  # seconds
    faults: float = 0.0  # share of the answers that are faulty
    stall: float = 30.0  # seconds that a stalled answer takes
    broken: list[int] = field(default_factory=list)  # always HTTP 500
    odd: list[int] = field(default_factory=list)  # JSON of another shape
    odd_share: float = 0.0  # share of the answers that hold an impossible value
    values: dict[str, dict[str, Any]] = field(default_factory=dict)  # id: values in place of the movie's own
    codes: dict[str, int] = field(default_factory=dict)  # id: TMDB's status code, under HTTP 200
    bombs: list[int] = field(default_factory=list)  # 200 MB in a gzip answer of 200 kB
    changes: dict[str, Any] = field(default_factory=dict)  # values in place of those of /movie/changes
    export: str | None = None  # the export's bytes in base64, in place of the real ones
    export_encoding: str | None = None  # the export's Content-Encoding
    crew: int = 20  # people in the credits, which are most of an answer's bytes
    ceiling: int | None = None  # requests in any second above which the answer is 429
    redirect: str | None = None  # the address that every answer of /movie and /search points to, under HTTP 302
    shifting: bool = False  # /discover/movie: later pages repeat the last movie of the page before
    pages: int | None = None  # total_pages of /discover/movie for more than one day, in place of the real number
    films: str | None = None  # a JSON file with the details of all movies by their ids, in place of invented movies
    port: int = 0  # 0: one that is free
    seed: int = 0


def details(movie_id: int, settings: Settings) -> dict[str, Any]:
    """What TMDB says of a movie: everyday gaps included."""
    edition = sum(movie_id in ids for day, ids in settings.changed.items() if day <= settings.day)
    return {
        "adult": False,
        "backdrop_path": None,
        "belongs_to_collection": {"id": 9, "name": f"Saga {movie_id // 3} Collection"} if movie_id % 3 == 0 else None,
        "budget": 0 if movie_id % 4 == 0 else 1000 * movie_id,
        "genres": [] if movie_id % 7 == 0 else [{"id": 18, "name": "Drama"}, {"id": 35, "name": "Comédie"}],
        "homepage": "",
        "id": movie_id,
        "imdb_id": f"tt{movie_id:07}",
        "original_language": "fr",
        "original_title": f"Le film n° {movie_id}",
        "overview": None if movie_id % 11 == 0 else f"Edition {edition} of the story of day {movie_id}. " * 4,
        "popularity": movie_id / 10,
        "poster_path": "/x.jpg",
        "production_companies": [{"id": 1, "name": f"Studio {movie_id % 20}", "origin_country": "FR"}],
        "production_countries": [{"iso_3166_1": "FR", "name": "France"}],
        "release_date": "" if movie_id % 5 == 0 else f"20{movie_id % 25:02}-0{1 + movie_id % 9}-11",
        "revenue": 0,
        "runtime": 0 if movie_id % 6 == 0 else 80 + movie_id % 60,
        "spoken_languages": [{"english_name": "French", "iso_639_1": "fr", "name": "Français"}],
        "status": "Released",
        "tagline": "",
        "title": f"Film {movie_id}",
        "video": False,
        "vote_average": (movie_id % 91) / 10,
        "vote_count": movie_id % 300,
        "credits": {
            "cast": [
                {"id": n, "name": f"Player {n} of {movie_id}", "character": f"Part {n}", "order": n, "adult": False}
                for n in reversed(range(settings.crew // 2))
            ],
            "crew": [{"id": 1, "name": f"Maker of {movie_id}", "job": "Director", "department": "Directing"}]
            + [{"id": n, "name": f"Hand {n}", "job": "Editor"} for n in range(settings.crew // 2)],
        },
        "keywords": {"keywords": [] if movie_id % 8 == 0 else [{"id": 5, "name": "harbour"}]},
    }


# Values that no movie has; None stands for the number of the movie plus one.
ODD_VALUES: list[dict[str, Any]] = [
    {"vote_count": 10**30},
    {"vote_count": -1},
    {"vote_average": 10.5},
    {"runtime": 1e12},
    {"popularity": float("inf")},
    {"release_date": "99999-12-31"},
    {"release_date": "0001-01-01"},
    {"title": "a" * 2_001},
    {"genres": [{"name": "Drama"}] * 1_001},
    {"credits": {"cast": [{"name": "Player", "order": 10**30}]}},
    {"production_companies": "Studio"},
    {"production_countries": [{"name": 33}]},
    {"belongs_to_collection": "Saga"},
    {"keywords": {"keywords": ["harbour"]}},
    {"budget": -1},
    {"adult": "no"},
    {"id": None},
    {"id": 10**30},
]


def with_values(found: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """The details with other values; see `ODD_VALUES`."""
    return found | {name: found["id"] + 1 if value is None else value for name, value in values.items()}


def bomb() -> bytes:
    """200 MB of JSON, compressed."""
    packer = zlib.compressobj(wbits=31)
    return b"".join(
        [packer.compress(b'{"title": "'), *(packer.compress(b"a" * 1_000_000) for _ in range(200)), packer.flush()]
    )


def exported(settings: Settings, day: str) -> bytes:
    """The daily export: one JSON object a line; every 40th film is adult and every 41st a video."""
    ids = set(range(1, settings.movies + 1))
    for added, more in settings.added.items():
        ids = ids - set(more) if added > day else ids | set(more)
    lines = [
        {
            "adult": n % 40 == 0,
            "id": n,
            "original_title": f"Le film n° {n}",
            "popularity": n / 10,
            "video": n % 41 == 0,
        }
        for n in sorted(ids)
    ]
    return gzip.compress("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode(), mtime=0)


class Handler:
    """The routes, and the moments at which they were asked for movies."""

    def __init__(self, settings: Settings):
        self.settings, self.random = settings, random.Random(settings.seed)
        self.films: dict[int, dict[str, Any]] | None = None
        if settings.films is not None:
            with open(settings.films, encoding="utf-8") as file:
                self.films = {int(number): film for number, film in json.load(file).items()}
        self.moments: list[float] = []
        self.asked: dict[int, int] = {}
        self.served: dict[int, int] = {}

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/3/movie/changes", self.changes),
                web.get("/3/movie/{id}", self.movie),
                web.get("/3/search/movie", self.search),
                web.get("/3/discover/movie", self.discover),
                web.get("/exports/movie_ids_{month}_{day}_{year}.json.gz", self.export),
                web.get("/statistics", self.statistics),
            ]
        )
        return app

    async def movie(self, request: web.Request) -> web.StreamResponse:
        movie_id = int(request.match_info["id"])
        now = time.monotonic()
        self.moments.append(now)
        self.asked[movie_id] = self.asked.get(movie_id, 0) + 1
        if (refusal := self.refusal(now)) is not None:
            return refusal
        await asyncio.sleep(self.settings.latency)
        if not _known(request):
            return web.json_response({"status_code": 7, "status_message": "Invalid API key"}, status=401)
        if request.query.get("append_to_response") != "credits,keywords":
            return web.json_response({"status_code": 5}, status=400)
        if movie_id in self.settings.broken:
            return web.Response(status=500)
        if self.random.random() < self.settings.faults:
            return await self.fault(request, json.dumps(self.details(movie_id)).encode())
        if movie_id in self.settings.gone or (self.films is not None and movie_id not in self.films):
            return web.json_response({"status_code": 34, "success": False}, status=404)
        found = self.details(movie_id)
        if self.random.random() < self.settings.odd_share:
            return web.json_response(with_values(found, self.random.choice(ODD_VALUES)))
        if str(movie_id) in self.settings.codes:
            return web.json_response({"success": False, "status_code": self.settings.codes[str(movie_id)]})
        if movie_id in self.settings.bombs:
            return web.Response(body=bomb(), content_type="application/json", headers={"Content-Encoding": "gzip"})
        self.served[movie_id] = self.served.get(movie_id, 0) + 1
        found = with_values(found, self.settings.values.get(str(movie_id), {}))
        if movie_id in self.settings.odd:
            found |= {"genres": "Drama"}
        return web.json_response(found)

    def refusal(self, now: float) -> web.Response | None:
        """The answer to a request that is one too many, or that is sent elsewhere."""
        ceiling = self.settings.ceiling
        if ceiling is not None and sum(now - moment < 1 for moment in self.moments[-ceiling - 1 :]) > ceiling:
            return web.json_response({"status_code": 25}, status=429, headers={"Retry-After": "1"})
        if self.settings.redirect is not None:
            return web.Response(status=302, headers={"Location": self.settings.redirect})
        return None

    async def listed(self, request: web.Request, found: list[dict[str, Any]]) -> web.StreamResponse:
        """A page of a list of movies, each with the few fields that lists have."""
        self.moments.append(time.monotonic())
        if (refusal := self.refusal(self.moments[-1])) is not None:
            return refusal
        await asyncio.sleep(self.settings.latency)
        if not _known(request):
            return web.json_response({"status_code": 7, "status_message": "Invalid API key"}, status=401)
        page = int(request.query.get("page", "1"))
        if not 1 <= page <= 500:
            return web.json_response({"status_code": 22}, status=400)
        first = RESULTS * (page - 1) - (page > 1 and self.settings.shifting)
        names = ("id", "title", "original_title", "original_language", "release_date", "adult", "popularity")
        body = json.dumps(
            {
                "page": page,
                "results": [{n: movie[n] for n in names} for movie in found[first : RESULTS * page]],
                "total_pages": max(1, -(-len(found) // RESULTS)),
                "total_results": len(found),
            }
        ).encode()
        if self.random.random() < self.settings.faults:
            return await self.fault(request, body)
        return web.Response(body=body, content_type="application/json")

    def movies(self) -> list[dict[str, Any]]:
        """Every movie that the server has, with its own values."""
        every = range(1, self.settings.movies + 1) if self.films is None else self.films
        ids = [n for n in every if n not in self.settings.gone]
        return [with_values(self.details(n), self.settings.values.get(str(n), {})) for n in ids]

    def details(self, movie_id: int) -> dict[str, Any]:
        """The movie as it is in the file of films, or an invented one if there is no file."""
        return details(movie_id, self.settings) if self.films is None else self.films.get(movie_id, {})

    async def search(self, request: web.Request) -> web.StreamResponse:
        words, year = request.query["query"].casefold(), request.query.get("year", "")
        found = [m for m in self.movies() if words in f"{m['title']} {m['original_title']}".casefold()]
        return await self.listed(request, [m for m in found if (m["release_date"] or "").startswith(year)])

    async def discover(self, request: web.Request) -> web.StreamResponse:
        first, last = (request.query[f"primary_release_date.{end}"] for end in ("gte", "lte"))
        found = [m for m in self.movies() if m["release_date"] and first <= m["release_date"] <= last]
        found.sort(key=lambda m: (m["release_date"], m["id"]))
        if self.settings.pages is not None and first < last:
            answer = {"page": 1, "results": [], "total_pages": self.settings.pages, "total_results": 10**6}
            return web.json_response(answer)
        return await self.listed(request, found)

    async def fault(self, request: web.Request, body: bytes) -> web.StreamResponse:
        kind = self.random.choice(
            [
                *("429", "429 after", "500", "502", "503", "reset", "cut", "short", "page", "stall"),
                *("later", "no gzip", "half a gzip"),
            ]
        )
        if kind == "429 after":
            return web.Response(status=429, headers={"Retry-After": self.random.choice(RETRY_AFTER)})
        if kind == "later":
            return web.json_response({"success": False, "status_code": 25})
        if kind.endswith("gzip"):
            packed = body if kind == "no gzip" else gzip.compress(body)[:200]
            return web.Response(body=packed, content_type="application/json", headers={"Content-Encoding": "gzip"})
        if kind.isdigit():
            return web.Response(status=int(kind))
        if kind == "page":
            return web.Response(text="<html><h1>Something went wrong</h1></html>", content_type="text/html")
        if kind == "short":
            return web.Response(body=body[: len(body) // 2], content_type="application/json")
        if kind == "cut":
            response = web.StreamResponse(headers={"Content-Length": str(len(body))})
            with contextlib.suppress(ConnectionResetError):  # the client may have gone meanwhile
                await response.prepare(request)
                await response.write(body[: len(body) // 2])
        if kind == "stall":
            await asyncio.sleep(self.settings.stall)
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def changes(self, request: web.Request) -> web.Response:
        start, end = request.query["start_date"], request.query["end_date"]
        if (date.fromisoformat(end) - date.fromisoformat(start)).days > 14:
            return web.json_response({"status_code": 20}, status=422)
        if not _known(request):
            return web.json_response({"status_code": 7}, status=401)
        found = sorted({n for day, ids in self.settings.changed.items() if start <= day <= end for n in ids})
        page = int(request.query["page"])
        return web.json_response(
            {
                "results": [{"id": n, "adult": None} for n in found[PAGE * (page - 1) : PAGE * page]],
                "page": page,
                "total_pages": max(1, -(-len(found) // PAGE)),
                "total_results": len(found),
            }
            | self.settings.changes
        )

    async def export(self, request: web.Request) -> web.Response:
        day = "{year}-{month}-{day}".format(**request.match_info)
        if day > self.settings.day:
            return web.Response(status=403, text="<Error><Code>AccessDenied</Code></Error>")
        body = exported(self.settings, day) if self.settings.export is None else b64decode(self.settings.export)
        encoding = self.settings.export_encoding
        headers = {"Content-Encoding": encoding} if encoding else {}
        return web.Response(body=body, content_type="application/gzip", headers=headers)

    async def statistics(self, request: web.Request) -> web.Response:
        return web.json_response({"moments": self.moments, "asked": self.asked, "served": self.served})


class Server:
    """The server as a process of its own, for the length of a ``with`` block."""

    def __init__(self, **settings: Any):
        self.settings = Settings(**settings)

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.support.tmdb", json.dumps(asdict(self.settings))]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def statistics(self) -> dict[str, Any]:
        """``moments`` of the requests for movies, and how often each was ``asked`` for and ``served`` well."""
        with urllib.request.urlopen(f"{self.url}/statistics") as response:
            found: dict[str, Any] = json.load(response)
        return found


def most_in(seconds: float, moments: list[float]) -> int:
    """The most requests in any ``seconds`` that begin with one; ``moments`` rise.

    The moments are those of arrival: on a busy machine, requests that were sent evenly arrive several at once, which
    matters the less the more seconds are looked at.
    """
    return max(bisect_left(moments, start + seconds) - n for n, start in enumerate(moments))


def most_in_one_second(moments: list[float]) -> int:
    """The most requests in any second that begins with one; ``moments`` rise."""
    return most_in(1.0, moments)


def _known(request: web.Request) -> bool:
    return KEY in (request.query.get("api_key"), request.headers.get("Authorization", "").removeprefix("Bearer "))


async def _serve(settings: Settings) -> None:
    runner = web.AppRunner(Handler(settings).app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", settings.port)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Settings(**json.loads(sys.argv[1]))))


# Starts a server with these settings.
Start = Callable[..., Server]
