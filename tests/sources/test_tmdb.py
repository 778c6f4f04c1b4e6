"""Collecting from TMDB: against a server of our own, over real HTTP, with the faults that a night brings."""

import asyncio
import contextlib
import copy
import itertools
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from movie_ratings import params, sources
from movie_ratings.core.errors import UserError
from movie_ratings.movies.record import MOVIE
from movie_ratings.sources.fetch_report import FetchReport
from movie_ratings.sources.tmdb import client, collector, credentials
from movie_ratings.sources.tmdb.archive import Archive
from movie_ratings.sources.tmdb.details import Details, movie
from movie_ratings.sources.tmdb.rate import RateLimit
from tests.support.builders import ROOT
from tests.support.tmdb import KEY, Server, Settings, details, most_in_one_second

Collect = Callable[..., tuple[pa.Table, FetchReport]]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """Start servers that end with the test."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
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
        batches = list(sources.batches(params.parse(configured(server, **changes)).fetch, report))
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
    assert set(found) == set(MOVIE.names)


def test_what_is_absent_is_null() -> None:
    bare: dict[str, Any] = {"id": 3, "overview": None, "genres": [], "release_date": "", "runtime": 0, "title": "Film"}
    found = movie(Details.model_validate(bare), cast_size=2)
    assert (found["summary"], found["genres"], found["release_date"], found["runtime"]) == (None, [], None, None)
    assert (found["cast"], found["vote_average"]) == (None, None)


def test_every_movie_arrives_through_faults_of_every_kind(serve: Callable[..., Server], collected: Collect) -> None:
    server = serve(movies=300, faults=0.2, gone=[7, 8])
    table, report = collected(server)
    ids = [n for n in in_export(server.settings) if n not in (7, 8)]
    assert table.equals(expected(ids, server.settings))
    assert report.counts == {"planned": len(ids) + 2, "gone": 2, "failed": 0}
    asked = len(server.statistics()["moments"])
    again, _ = collected(server)
    assert again.equals(table)
    assert len(server.statistics()["moments"]) == asked  # nothing is asked for twice, not even what is gone
    assert max(server.statistics()["served"].values()) == 1


def test_kills_at_any_moment_lose_nothing(
    serve: Callable[..., Server], configured: Callable[..., dict[str, Any]], workspace: Path
) -> None:
    server = serve(movies=300, faults=0.2, latency=0.02)
    with Path("params.yaml").open("w") as file:
        YAML().dump(configured(server, requests_per_second=150.0, max_failed_share=0.0), file)
    moments = random.Random(1)
    command = [sys.executable, "-m", "stages.fetch"]
    environment = {**os.environ, "TMDB_ACCESS_TOKEN": KEY}
    for _ in range(3):
        before = sum(server.statistics()["served"].values())
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        while sum(server.statistics()["served"].values()) < before + moments.randint(20, 60):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not Path("data/raw/movies.parquet").exists()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert pq.read_table("data/raw/movies.parquet").equals(expected(in_export(server.settings), server.settings))
    assert Path("data/raw/failed.jsonl").read_text() == ""
    assert json.loads(Path("metrics/fetch.json").read_text())["rows"] == len(in_export(server.settings))
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


def test_two_collectors_do_not_share_a_store(serve: Callable[..., Server], collected: Collect) -> None:
    server = serve(movies=5)
    with (
        Archive(Path("data/store/tmdb"), f"{server.url}/3", "en-US"),
        pytest.raises(UserError, match="another process is collecting into it"),
    ):
        collected(server)


def test_a_store_that_cannot_be_read_is_named(serve: Callable[..., Server], collected: Collect) -> None:
    server = serve(movies=5)
    path = Archive(Path("data/store/tmdb"), f"{server.url}/3", "en-US").path
    path.parent.mkdir(parents=True)
    path.write_text("no database " * 100)
    with pytest.raises(UserError, match=r"tmdb-[0-9a-f]+\.sqlite: not a readable store .*move it away"):
        collected(server)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3.0), ("0.5", 0.5), (None, 0.0), ("soon", 0.0), ("-3", 0.0), ("1e9", 900.0), ("nan", 0.0)],
)
def test_retry_after_is_read_with_care(header: str | None, seconds: float) -> None:
    assert client._retry_after(header) == seconds
