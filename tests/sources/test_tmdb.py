"""Collecting from TMDB: against a server of our own, over real HTTP, with the faults that a night brings."""

import asyncio
import contextlib
import copy
import gzip
import itertools
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import tracemalloc
import urllib.request
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from movie_ratings import params
from movie_ratings.core.errors import UserError
from movie_ratings.movies.record import MOVIE
from movie_ratings.sources import selected
from movie_ratings.sources.fetch_report import FetchReport
from movie_ratings.sources.tmdb import answers, client, collector, credentials, movies
from movie_ratings.sources.tmdb.archive import Archive, Batch
from movie_ratings.sources.tmdb.details import Details, movie
from movie_ratings.sources.tmdb.rate import RateLimit
from tests.support.builders import ROOT
from tests.support.tmdb import KEY, ODD_VALUES, Server, Settings, details, most_in_one_second

Collect = Callable[..., tuple[pa.Table, FetchReport]]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """Start servers that end with the test."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(Server(**settings))


@pytest.fixture
def configured(raw_params: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    """params.yaml for a server, with changes to fetch.tmdb."""

    def build(server: Server, **changes: Any) -> dict[str, Any]:
        found = copy.deepcopy(raw_params)
        found["fetch"]["source"] = "tmdb"
        found["fetch"]["tmdb"] |= {
            "api_url": f"{server.url}/3",
            "exports_url": f"{server.url}/exports",
            "export_date": "2026-01-01",
            "requests_per_second": 1000.0,
            "timeout": 0.5,
        }
        found["fetch"]["tmdb"] |= changes
        return found

    return build


@pytest.fixture
def collected(configured: Callable[..., dict[str, Any]], workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Collect:
    """Collect into the workspace; the waits between attempts are short."""
    monkeypatch.setenv("TMDB_API_KEY", KEY)
    monkeypatch.setattr(client, "FIRST_DELAY", 0.002)

    def run(server: Server, **changes: Any) -> tuple[pa.Table, FetchReport]:
        report = FetchReport()
        batches = list(selected.batches(params.parse(configured(server, **changes)).fetch, report))
        return pa.Table.from_batches(batches, MOVIE), report

    return run


def expected(ids: list[int], settings: Settings, cast_size: int = 10) -> pa.Table:
    rows = [movie(Details.model_validate(details(n, settings)), cast_size) for n in ids]
    return pa.Table.from_pylist(rows, MOVIE)


def in_export(settings: Settings) -> list[int]:
    return [n for n in range(1, settings.movies + 1) if n % 40 and n % 41]


def test_an_answer_becomes_the_movie_record() -> None:
    found = movie(Details.model_validate(details(1, Settings())), cast_size=2)
    assert found["title"] == "Film 1"
    assert found["summary"].startswith("Edition 0 of the story of day 1.")
    assert (found["genres"], found["spoken_languages"]) == (["Drama", "Comédie"], ["Français"])
    assert found["cast"] == ["Player 0 of 1", "Player 1 of 1"]  # as billed, not as listed
    assert found["directors"] == ["Maker of 1"]
    assert found["editors"] == [f"Hand {n}" for n in range(10)]
    assert (found["writers"], found["producers"]) == ([], [])
    assert (found["companies"], found["countries"], found["keywords"]) == (["Studio 1"], ["France"], ["harbour"])
    assert (found["collection"], found["budget"]) == (None, 1_000)
    assert set(found) == set(MOVIE.names)
    sequel = movie(Details.model_validate(details(4 * 3, Settings())), cast_size=2)
    assert (sequel["collection"], sequel["budget"]) == ("Saga 4 Collection", None)


def test_what_is_absent_is_null() -> None:
    bare: dict[str, Any] = {"id": 3, "overview": None, "genres": [], "release_date": "", "runtime": 0, "title": "Film"}
    found = movie(Details.model_validate(bare), cast_size=2)
    assert (found["summary"], found["genres"], found["release_date"], found["runtime"]) == (None, [], None, None)
    assert (found["cast"], found["vote_average"]) == (None, None)
    late = ("writers", "producers", "companies", "countries", "collection", "keywords", "budget")
    assert [found[field] for field in late] == [None] * len(late)


def test_an_answer_that_was_stored_before_keywords_were_asked_for_is_not_asked_for_again(
    serve: Callable[..., Server], collected: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(movies=3)
    new = ("production_companies", "production_countries", "belongs_to_collection", "keywords", "budget")
    with Archive(Path("data/store/tmdb"), f"{server.url}/3", "en-US") as archive:
        old = {key: value for key, value in details(1, server.settings).items() if key not in new}
        stored = Details.model_validate(old).model_dump_json(exclude_none=True)
        archive.add(Batch(found=[(1, stored, None)]))
    table, _ = collected(server)
    assert "1" not in server.statistics()["asked"]
    assert table["keywords"].to_pylist() == [None, ["harbour"], ["harbour"]]
    assert table["editors"].to_pylist() == [[f"Hand {n}" for n in range(10)]] * 3


def test_every_movie_arrives_through_faults_of_every_kind(serve: Callable[..., Server], collected: Collect) -> None:
    server = serve(movies=300, faults=0.2, odd_share=0.05, gone=[7, 8])
    for _ in range(10):
        table, report = collected(server, max_failed_share=1.0)
        if not report.failed:
            break
        # An impossible value fails its movie until the next run; every other fault is over within the run.
        assert all(failure["reason"].startswith("unexpected answer: ") for failure in report.failed)
    ids = [n for n in in_export(server.settings) if n not in (7, 8)]
    assert table.equals(expected(ids, server.settings))
    assert report.counts == {"planned": len(ids) + 2, "gone": 2, "failed": 0}
    asked = len(server.statistics()["moments"])
    again, _ = collected(server)
    assert again.equals(table)
    assert len(server.statistics()["moments"]) == asked  # nothing is asked for twice, not even what is gone
    assert max(server.statistics()["served"].values()) == 1


@pytest.mark.slow
def test_kills_at_any_moment_lose_nothing(
    serve: Callable[..., Server], configured: Callable[..., dict[str, Any]], workspace: Path
) -> None:
    server = serve(movies=300, faults=0.2, odd_share=0.05, latency=0.02)
    with Path("params.yaml").open("w") as file:
        YAML().dump(configured(server, requests_per_second=150.0, max_failed_share=0.0), file)
    moments = random.Random(1)
    command = [sys.executable, "-m", "stages.fetch"]
    environment = {**os.environ, "TMDB_ACCESS_TOKEN": KEY}
    for _ in range(3):
        before = sum(server.statistics()["served"].values())
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        until = before + moments.randint(20, 40)
        # The server pays for each question. A fetch that gave up by itself on a busy machine goes on as a killed one.
        while sum(server.statistics()["served"].values()) < until and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not Path("data/raw/movies.parquet").exists()
    for _ in range(10):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            break
        assert "could not be had" in done.stderr and "Traceback" not in done.stderr
        assert KEY not in done.stdout + done.stderr
    assert done.returncode == 0
    assert pq.read_table("data/raw/movies.parquet").equals(expected(in_export(server.settings), server.settings))
    assert Path("data/raw/failed.jsonl").read_text() == ""
    assert json.loads(Path("metrics/details/fetch.json").read_text())["rows"] == len(in_export(server.settings))
    # A kill costs what came in the last quarter of a second; no other answer was asked for again.
    assert sum(n - 1 for n in server.statistics()["served"].values()) <= 3 * 0.25 * 150 * 1.2
    # And the key is nowhere: not in what was printed, not in any file.
    assert KEY not in done.stdout + done.stderr
    assert not [path for path in Path().rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def test_what_fails_is_listed_counted_and_tried_again(serve: Callable[..., Server], collected: Collect) -> None:
    server = serve(movies=39, broken=[5], odd=[6])
    table, report = collected(server, max_failed_share=0.1)
    assert len(table) == 37
    assert report.counts == {"planned": 39, "gone": 0, "failed": 2}
    assert report.failed == [
        {"id": 5, "reason": "HTTP 500, 8 times"},
        {"id": 6, "reason": "unexpected answer: genres: Input should be a valid array"},
    ]
    with pytest.raises(UserError, match=r"max_failed_share: 2 of 39 movies could not be had \(the first: 5, HTTP 500"):
        collected(server, max_failed_share=0.01)
    assert server.statistics()["asked"]["5"] == 16
    assert server.statistics()["asked"]["1"] == 1


def test_a_refused_key_stops_everything_at_once(
    serve: Callable[..., Server], collected: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(movies=1_000)
    monkeypatch.setenv("TMDB_API_KEY", "another-key")
    with pytest.raises(UserError, match=r"TMDB refused the key \(HTTP 401\)") as error:
        collected(server)
    assert "another-key" not in str(error.value)
    assert len(server.statistics()["moments"]) <= 2 * 32


def test_without_a_key_one_line_says_where_to_get_one(
    serve: Callable[..., Server], collected: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TMDB_API_KEY")
    monkeypatch.delenv("TMDB_ACCESS_TOKEN", raising=False)
    with pytest.raises(UserError, match=r"needs TMDB_API_KEY .*themoviedb\.org.*; fetch\.source sample needs none"):
        collected(serve())


def test_the_key_can_stand_in_a_file_and_is_not_shown(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMDB_API_KEY", raising=False)
    monkeypatch.delenv("TMDB_ACCESS_TOKEN", raising=False)
    Path(".env").write_text("TMDB_API_KEY=from-the-file\n")
    found = credentials.load()
    assert found.query == {"api_key": "from-the-file"}
    assert "from-the-file" not in repr(found)


@pytest.mark.parametrize("name", ["TMDB_API_KEY", "TMDB_ACCESS_TOKEN"])
def test_what_cannot_be_a_key_is_refused_without_being_shown(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "two\nlines")
    with pytest.raises(UserError, match=f"{name} holds a space, a line break") as error:
        credentials.load()
    assert "two" not in str(error.value)


def test_an_outage_ends_the_run_and_keeps_what_was_answered(
    serve: Callable[..., Server], collected: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "OUTAGE", 20)
    server = serve(movies=200, broken=list(range(50, 201)))
    with pytest.raises(UserError, match=r"20 movies in a row without an answer .*HTTP 500.*run again later"):
        collected(server)
    asked = server.statistics()["asked"]
    assert len(asked) < 150
    with pytest.raises(UserError, match="20 movies in a row"):
        collected(server)
    assert server.statistics()["asked"]["1"] == asked["1"] == 1


def test_the_rate_is_reached_and_never_exceeded(serve: Callable[..., Server], collected: Collect) -> None:
    server = serve(movies=120, latency=0.1)
    collected(server, requests_per_second=40.0)
    moments = server.statistics()["moments"]
    assert most_in_one_second(moments) <= 42
    assert (len(moments) - 1) / (moments[-1] - moments[0]) >= 0.95 * 40


def test_retry_after_slows_everyone(serve: Callable[..., Server], collected: Collect) -> None:
    server = serve(movies=60, ceiling=20, latency=0.01)
    table, _ = collected(server, requests_per_second=500.0)
    assert len(table) == len(in_export(server.settings))
    # All 32 workers are in flight when the first 429 arrives; after it, they wait for the second that it asks for.
    moments = server.statistics()["moments"]
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert max(gaps) > 0.8


def test_a_pause_holds_back_those_who_wait_already() -> None:
    async def run() -> list[float]:
        limit, sent = RateLimit(100.0), []

        async def one() -> None:
            await limit.wait()
            sent.append(time.monotonic())

        tasks = [asyncio.create_task(one()) for _ in range(20)]
        await asyncio.sleep(0.05)
        limit.pause(0.3)
        await asyncio.gather(*tasks)
        return sent

    sent = asyncio.run(run())
    gaps = sorted(later - earlier for earlier, later in itertools.pairwise(sent))
    assert gaps[-1] > 0.28  # the pause
    assert gaps[-2] < 0.05
    assert sent[-1] - sent[-10] > 0.07  # and behind it the old rate, not a burst


def test_a_later_export_fetches_only_what_is_new_or_changed(serve: Callable[..., Server], collected: Collect) -> None:
    later = {"added": {"2026-02-20": [101, 102]}, "changed": {"2026-01-05": [3], "2026-02-10": [4], "2026-03-01": [5]}}
    server = serve(movies=30)
    collected(server)
    first = server.url
    newer = serve(movies=29, day="2026-02-20", **later)  # film 30 was deleted
    _follow(first, newer.url)
    table, report = collected(newer, export_date="2026-02-20")
    ids = [*range(1, 30), 101, 102]
    assert table.equals(expected(ids, newer.settings))
    assert newer.statistics()["asked"] == {"3": 1, "4": 1, "101": 1, "102": 1}
    assert report.counts["planned"] == len(ids)
    assert table["summary"][2].as_py().startswith("Edition 1 ")


def _follow(old: str, new: str) -> None:
    """Let the store of one server be that of another: the address is part of its name."""
    folder = Path("data/store/tmdb")
    Archive(folder, f"{old}/3", "en-US").path.rename(Archive(folder, f"{new}/3", "en-US").path)


def test_changes_are_asked_for_in_windows_that_the_api_takes(serve: Callable[..., Server], collected: Collect) -> None:
    busy = {"changed": {f"2026-01-{day:02}": list(range(1, 251)) for day in range(2, 30)}}
    server = serve(movies=250, day="2026-03-30")
    collected(server)
    newer = serve(movies=250, day="2026-03-30", **busy)
    _follow(server.url, newer.url)
    table, _ = collected(newer, export_date="2026-03-30")
    assert table.equals(expected(in_export(newer.settings), newer.settings))


def test_the_filters_choose_before_anything_is_asked_for(serve: Callable[..., Server], collected: Collect) -> None:
    server = serve(movies=100)
    table, _ = collected(server, adult=True, video=True, min_popularity=2.0, limit=50)
    assert table["id"].to_pylist() == list(range(20, 70))
    half, _ = collected(server, sample=0.5)
    assert 30 < len(half) < 70
    more, _ = collected(server, sample=0.7)
    assert set(half["id"].to_pylist()) < set(more["id"].to_pylist())


def test_ids_come_from_movielens_or_from_a_file(serve: Callable[..., Server], collected: Collect) -> None:
    server = serve(movies=100)
    Path("links.csv").write_text("movieId,imdbId,tmdbId\n1,0000001,9\n2,0000002,\n3,0000003,4\n4,0000004,9\n")
    table, _ = collected(server, ids="movielens", ids_path="links.csv", export_date=None)
    assert table["id"].to_pylist() == [4, 9]
    Path("ids.txt").write_text("# mine\n12\n\n3  # the best\n")
    table, _ = collected(server, ids="file", ids_path="ids.txt", export_date=None)
    assert table["id"].to_pylist() == [3, 12]
    Path("ids.txt").write_text("12\ntt0111161\n")
    with pytest.raises(UserError, match=r"ids\.txt line 2: expected a TMDB id, found 'tt0111161'"):
        collected(server, ids="file", ids_path="ids.txt", export_date=None)
    Path("links.csv").write_text("movieId,imdbId\n1,2\n")
    with pytest.raises(UserError, match=r"links\.csv: no column 'tmdbId'; it has movieId, imdbId"):
        collected(server, ids="movielens", ids_path="links.csv", export_date=None)


def test_a_day_without_an_export_is_named(serve: Callable[..., Server], collected: Collect) -> None:
    with pytest.raises(UserError, match=r"fetch\.tmdb\.export_date: no export of 2026-05-01 .*HTTP 403"):
        collected(serve(), export_date="2026-05-01")


def test_whole_answers_are_kept_when_asked_for(serve: Callable[..., Server], collected: Collect) -> None:
    server = serve(movies=5)
    collected(server)
    collected(server, keep_raw=True)
    assert server.statistics()["asked"]["1"] == 2
    collected(server, keep_raw=True)
    collected(server, keep_raw=False)
    assert server.statistics()["asked"]["1"] == 2
    (path,) = Path("data/store/tmdb").glob("*.sqlite")
    with sqlite3.connect(path) as database:
        (raw,) = database.execute("SELECT raw FROM bodies WHERE id = 1").fetchone()
    assert json.loads(zlib.decompress(raw)) == details(1, server.settings)


def test_a_second_collector_waits_for_the_store(serve: Callable[..., Server], collected: Collect) -> None:
    server = serve(movies=5)
    with ThreadPoolExecutor(1) as pool:
        with Archive(Path("data/store/tmdb"), f"{server.url}/3", "en-US"):
            waiting = pool.submit(collected, server)
            time.sleep(0.5)
            assert not waiting.done()
            assert server.statistics()["asked"] == {}
        table, _ = waiting.result()
    assert len(table) == 5


def test_a_store_that_cannot_be_read_is_named(serve: Callable[..., Server], collected: Collect) -> None:
    server = serve(movies=5)
    path = Archive(Path("data/store/tmdb"), f"{server.url}/3", "en-US").path
    path.parent.mkdir(parents=True)
    path.write_text("no database " * 100)
    with pytest.raises(UserError, match=r"tmdb-[0-9a-f]+\.sqlite: not a readable store .*move it away"):
        collected(server)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        *[("3", 3.0), ("0.5", 0.5), (None, 0.0), ("soon", 0.0), ("-3", 0.0), ("1e9", 900.0), ("nan", 0.0)],
        *[("1e999", 900.0), ("9" * 5_000, 900.0), ("-inf", 0.0), (",", 0.0), ("\x00", 0.0)],
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2150 07:28:00 GMT", 900.0),
        ("Wed, 21 Oct 2150 07:28:00 +9999", 0.0),
        ("Wed, 21 Oct 2150 07:28:00 +99999999999999999999", 0.0),
        ("Wed, 21 Oct 99999999999999999999 07:28:00 GMT", 0.0),
    ],
)
def test_retry_after_is_read_with_care(header: str | None, seconds: float) -> None:
    assert answers.retry_after(header) == seconds


def test_an_impossible_value_fails_its_movie_until_the_server_is_right(
    serve: Callable[..., Server], collected: Collect
) -> None:
    values = {str(n): odd for n, odd in enumerate(ODD_VALUES, 1)}
    server = serve(movies=39, values=values)
    table, report = collected(server, max_failed_share=1.0)
    ids = list(range(len(ODD_VALUES) + 1, 40))
    assert table.equals(expected(ids, server.settings))
    assert [failure["id"] for failure in report.failed] == list(range(1, len(ODD_VALUES) + 1))
    reasons = [failure["reason"].removeprefix("unexpected answer: ") for failure in report.failed]
    assert reasons == [
        "vote_count: Input should be less than or equal to 10000000000",
        "vote_count: Input should be greater than or equal to 0",
        "vote_average: Input should be less than or equal to 10",
        "runtime: Input should be less than or equal to 1000000",
        "popularity: Input should be a finite number",
        "release_date: String should have at most 10 characters",
        "release_date: expected a year from 1800 to 2200",
        "title: String should have at most 2000 characters",
        "genres: List should have at most 1000 items after validation, not 1001",
        "credits.cast.0.order: Input should be less than 9223372036854775808",
        "production_companies: Input should be a valid array",
        "production_countries.0.name: Input should be a valid string",
        "belongs_to_collection: Input should be an object",
        "keywords.keywords.0: Input should be an object",
        "budget: Input should be greater than or equal to 0",
        "adult: Input should be a valid boolean",
        "the answer describes movie 18, the request was for 17",
        "id: Input should be less than 9223372036854775808",
    ]
    honest = serve(movies=39)
    _follow(server.url, honest.url)
    table, report = collected(honest)
    assert table.equals(expected(list(range(1, 40)), honest.settings))
    assert report.failed == []
    assert sorted(map(int, honest.statistics()["asked"])) == list(range(1, len(ODD_VALUES) + 1))


@contextlib.contextmanager
def store() -> Iterator[sqlite3.Connection]:
    (path,) = Path("data/store/tmdb").glob("*.sqlite")
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        yield database


def test_a_stored_answer_that_is_not_valid_is_requested_again(
    serve: Callable[..., Server], collected: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(movies, "BATCH", 10)
    server = serve(movies=39)
    table, _ = collected(server)
    newer = serve(movies=39, gone=[11], values={"12": {"vote_average": -1}})
    _follow(server.url, newer.url)
    with store() as database:
        query = "UPDATE bodies SET details = ? WHERE id = ?"
        poisoned = [details(n, server.settings) | {"vote_count": 10**30} for n in (3, 11, 12, 39)]
        database.executemany(query, [(zlib.compress(json.dumps(one).encode()), one["id"]) for one in poisoned])
        database.executemany(query, [(b"no zlib", 4), (None, 5), ("text", 6), (zlib.compress(b"{"), 7)])
        database.execute("UPDATE bodies SET details = (SELECT details FROM bodies WHERE id = 9) WHERE id = 8")
    again, report = collected(newer, max_failed_share=0.1)
    assert again.equals(table.filter(pc.invert(pc.is_in(table["id"], pa.array([11, 12])))))
    assert report.counts == {"planned": 39, "gone": 1, "failed": 1}
    assert report.failed[0]["id"] == 12
    assert newer.statistics()["asked"] == {str(n): 1 for n in (3, 4, 5, 6, 7, 8, 11, 12, 39)}


def test_a_damaged_store_is_a_one_line_error(serve: Callable[..., Server], collected: Collect) -> None:
    server = serve(movies=300)
    table, _ = collected(server)
    (path,) = Path("data/store/tmdb").glob("*.sqlite")
    whole = path.read_bytes()
    page = 4096
    chance = random.Random(0)
    outcomes = set()
    for _ in range(25):
        damaged = bytearray(whole)
        for _ in range(chance.choice([1, 3, len(whole) // page])):
            start = chance.randrange(page, len(whole) - page)
            length = chance.choice([20, page])
            damaged[start : start + length] = chance.randbytes(length)
        path.write_bytes(damaged)
        try:
            again, _ = collected(server, max_failed_share=1.0)
        except UserError as error:
            assert re.fullmatch(
                r".*tmdb-[0-9a-f]+\.sqlite: not a readable store \(.*\); move it away to .*", str(error)
            )
            outcomes.add("error")
        else:
            assert set(again["id"].to_pylist()) <= set(table["id"].to_pylist())
            outcomes.add("read")
    assert outcomes == {"error", "read"}


def as_export(*lines: str) -> bytes:
    return gzip.compress("".join(f"{line}\n" for line in lines).encode())


GOOD_LINE = '{"adult":false,"id":3,"original_title":"Film","popularity":1.5,"video":false}'


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", ": the export is empty"),
        (as_export(), ": the export is empty"),
        (as_export("", " "), ": the export is empty"),
        (
            as_export(GOOD_LINE, GOOD_LINE.replace("3", '"abc"')),
            r" line 2: not .* \(id: Input should be a valid integer",
        ),
        (as_export(GOOD_LINE.replace("3", "9" * 30)), r" line 1: not .* \(id: Input should be less than"),
        (as_export(GOOD_LINE.replace("1.5", "null")), r" line 1: not .* \(popularity: "),
        (as_export("3"), r" line 1: not a line of TMDB's export \(Input should be an object"),
        (as_export("[" * 100_000), r" line 1: not a line of TMDB's export \(Invalid JSON: recursion limit"),
        (as_export(GOOD_LINE, "<html>"), r" line 2: not a line of TMDB's export \(Invalid JSON"),
        (b"<html>Something went wrong</html>", r" line 1: not a line of TMDB's export \(Invalid JSON"),
        (as_export(GOOD_LINE)[:-8], " line 2: Compressed file ended before"),
        (as_export("a" * 20_000_000), " line 1: longer than any export of TMDB"),
    ],
)
def test_a_broken_export_is_named_and_not_kept(
    serve: Callable[..., Server], collected: Collect, body: bytes, complaint: str
) -> None:
    server = serve(export=b64encode(body).decode())
    with pytest.raises(UserError, match=rf"movie_ids_01_01_2026\.json\.gz{complaint}") as error:
        collected(server)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith("; the file is deleted: run again to download it again")
    assert not [path for path in Path("data/store/tmdb/exports").rglob("*") if path.is_file()]


@pytest.mark.parametrize("encoding", [None, "gzip"])
@pytest.mark.parametrize("layers", [0, 1, 2])
def test_an_export_is_read_however_often_it_is_compressed(
    serve: Callable[..., Server], collected: Collect, layers: int, encoding: str | None
) -> None:
    body = f"{GOOD_LINE}\n\n".encode()
    for _ in range(layers):
        body = gzip.compress(body)
    server = serve(movies=5, export=b64encode(body).decode(), export_encoding=encoding)
    table, _ = collected(server)
    assert table["id"].to_pylist() == [3]
    (path,) = Path("data/store/tmdb/exports").rglob("*.gz")
    assert path.read_bytes() == body


def test_no_id_is_an_error_that_names_the_file(serve: Callable[..., Server], collected: Collect) -> None:
    server = serve(movies=20)
    with pytest.raises(UserError, match=r"movie_ids_01_01_2026\.json\.gz: no movie passes fetch\.tmdb\.adult, video"):
        collected(server, min_popularity=1000.0)
    assert list(Path("data/store/tmdb/exports").rglob("*.gz"))  # the filter is wrong, the export is not
    with pytest.raises(UserError, match=r"fetch\.tmdb\.sample: no id of .* is in the sample of 1e-12"):
        collected(server, sample=1e-12)
    Path("ids.txt").write_text("# none\n\n")
    with pytest.raises(UserError, match=r"^ids\.txt: no id in it$"):
        collected(server, ids="file", ids_path="ids.txt", export_date=None)
    Path("links.csv").write_text("movieId,imdbId,tmdbId\n1,2,\n")
    with pytest.raises(UserError, match=r"^links\.csv: no id in it$"):
        collected(server, ids="movielens", ids_path="links.csv", export_date=None)


def test_links_that_went_through_pandas_are_read(serve: Callable[..., Server], collected: Collect) -> None:
    server = serve(movies=100)
    Path("links.csv").write_text("movieId,imdbId,tmdbId\n1,1,9.0\n2,2,\n3,3,4.\n\n  \n")
    table, _ = collected(server, ids="movielens", ids_path="links.csv", export_date=None)
    assert table["id"].to_pylist() == [4, 9]
    for cell in ("8.5", "9" * 5_000, "0", "-1", "1e3", "٣"):
        Path("links.csv").write_text(f"movieId,imdbId,tmdbId\n1,1,{cell}\n")
        with pytest.raises(UserError, match=r"links\.csv line 2: expected a TMDB id, found"):
            collected(server, ids="movielens", ids_path="links.csv", export_date=None)
    for cell, complaint in (
        ("1" * 200_000, "field larger than field limit"),
        ("1" * 2_000_000, "longer than 1,048,576"),
    ):
        Path("links.csv").write_text(f"movieId,imdbId,tmdbId\n1,1,{cell}\n")
        with pytest.raises(UserError, match=rf"links\.csv line 2: {complaint}"):
            collected(server, ids="movielens", ids_path="links.csv", export_date=None)


def test_a_long_answer_is_neither_unpacked_whole_nor_requested_again(
    serve: Callable[..., Server], collected: Collect
) -> None:
    server = serve(movies=5, bombs=[2])
    tracemalloc.start()
    try:
        table, report = collected(server, max_failed_share=1.0, timeout=30.0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert table["id"].to_pylist() == [1, 3, 4, 5]
    assert report.failed == [{"id": 2, "reason": "unexpected answer: longer than 8 MiB"}]
    assert server.statistics()["asked"]["2"] == 1
    assert peak < 50e6


def test_status_codes_count_under_http_200_too(serve: Callable[..., Server], collected: Collect) -> None:
    server = serve(movies=5, codes={"1": 34, "2": 25, "3": 20})
    table, report = collected(server, max_failed_share=1.0)
    assert table["id"].to_pylist() == [4, 5]
    assert report.counts == {"planned": 5, "gone": 1, "failed": 2}
    assert report.failed == [
        {"id": 2, "reason": "TMDB's status code 25, 8 times"},
        {"id": 3, "reason": "unexpected answer: id: Field required"},
    ]
    with pytest.raises(UserError, match=r"TMDB refused the key \(TMDB's status code 7\)"):
        collected(serve(movies=5, codes={"1": 7}))


@pytest.mark.parametrize(
    "odd", [{"total_pages": 10**30}, {"results": [{"id": 10**30}]}, {"results": "none"}, {"total_pages": 501}]
)
def test_an_odd_list_of_changes_is_a_one_line_error(
    serve: Callable[..., Server], collected: Collect, odd: dict[str, Any]
) -> None:
    server, newer = serve(movies=5), serve(movies=5, day="2026-01-03", changes=odd)
    collected(server)
    _follow(server.url, newer.url)
    with pytest.raises(UserError, match=r"^fetch\.tmdb: what changed from 2026-01-01 to 2026-01-03: .*; run again$"):
        collected(newer, export_date="2026-01-03")


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """A forward proxy: its address, and the target and the Proxy-Authorization of each request."""
    seen: list[tuple[str, str | None]] = []

    class Forward(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers["Proxy-Authorization"]))
            headers = {"Authorization": self.headers.get("Authorization", "")}
            with urllib.request.urlopen(urllib.request.Request(self.path, headers=headers)) as answer:
                body = answer.read()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_CONNECT(self) -> None:
            seen.append((self.path, self.headers["Proxy-Authorization"]))
            self.send_error(403)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None: ...

    # The proxy's own requests must not go through the proxy.
    urllib.request.install_opener(urllib.request.build_opener(urllib.request.ProxyHandler({})))
    with ThreadingHTTPServer(("127.0.0.1", 0), Forward) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"127.0.0.1:{server.server_address[1]}", seen
        server.shutdown()
    urllib.request.install_opener(urllib.request.build_opener())


Proxy = tuple[str, list[tuple[str, str | None]]]


def test_the_proxy_of_the_environment_is_used(
    serve: Callable[..., Server], collected: Collect, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, seen = proxy
    server = serve(movies=5)
    monkeypatch.setenv("HTTP_PROXY", f"http://user:pass@{address}")
    # An entry of .netrc for the host must not stand in for the token.
    Path("netrc").write_text("default login somebody password something\n")
    monkeypatch.setenv("NETRC", "netrc")
    monkeypatch.setenv("TMDB_ACCESS_TOKEN", KEY)
    table, _ = collected(server)
    assert len(table) == 5
    assert len(seen) == 6  # the export too
    assert {path.startswith(f"{server.url}/") for path, _ in seen} == {True}
    assert {password for _, password in seen} == {f"Basic {b64encode(b'user:pass').decode()}"}
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    collected(server, keep_raw=True)
    assert len(seen) == 6


def test_a_proxy_sees_no_key_on_its_way_to_https(
    serve: Callable[..., Server],
    collected: Collect,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
    caplog: pytest.LogCaptureFixture,
) -> None:
    address, seen = proxy
    monkeypatch.setenv("HTTPS_PROXY", address)  # curl reads an address without a scheme too
    Path("ids.txt").write_text("1\n2\n")
    options = {"ids": "file", "ids_path": "ids.txt", "export_date": None, "api_url": "https://tmdb.invalid/3"}
    with (
        caplog.at_level("DEBUG"),
        pytest.raises(UserError, match=r"the first: 1, connection lost .*, 8 times") as error,
    ):
        collected(serve(), **options)
    assert {path for path, _ in seen} == {"tmdb.invalid:443"}
    assert KEY not in str(error.value) + caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize("value", ["socks5://127.0.0.1:9", "http://:hidden@", "http://[hidden", "http://hidden:port"])
def test_what_is_no_proxy_is_refused_without_being_shown(
    serve: Callable[..., Server], collected: Collect, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", value)
    server = serve()
    with pytest.raises(UserError, match=r"^HTTP_PROXY: expected the address of a proxy") as error:
        collected(server)
    assert value not in str(error.value)
