"""Look-ups at TMDB by the service, over real HTTP on both sides."""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from movie_ratings.core.errors import UserError
from movie_ratings.prediction.classifier import Classifier
from movie_ratings.sources.tmdb import lookup
from movie_ratings.sources.tmdb.details import Details, movie
from movie_ratings.sources.tmdb.lookup import Film, Matches
from serving import routes, tmdb
from serving.batching import BusyError
from serving.page.blocks import Refusal
from serving.page.search import asking
from serving.tmdb import LookUps, request_of
from tests.support import tmdb as fake
from tests.support.builders import ROOT
from tests.support.service import Server
from tests.support.tmdb import KEY

UPCOMING = {"title": "The Long Harbour", "release_date": "2027-02-03", "runtime": 0, "budget": 0, "vote_count": 0}
NAMELESS = {"title": "", "original_title": "", "overview": ""}


@pytest.fixture(scope="module")
def source() -> Iterator[fake.Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        with fake.Server(movies=30, gone=[8], broken=[5], values={"9": UPCOMING, "3": NAMELESS}) as running:
            yield running


@pytest.fixture(scope="module")
def server(served_model: Path, source: fake.Server) -> Iterator[Server]:
    with Server(served_model, "--no-page", TMDB_API_KEY=KEY, TMDB_API_URL=f"{source.url}/3", NO_PROXY="*") as running:
        yield running


def test_a_film_of_tmdb_is_found_and_predicted(server: Server, served_model: Path) -> None:
    status, found, _ = server.ask("GET", "/v1/tmdb?query=long%20harbour&year=2027")
    assert (status, found["total"]) == (200, 1)
    (match,) = found["matches"]
    expected = {"id": 9, "title": "The Long Harbour", "original_title": "Le film n° 9", "release_date": "2027-02-03"}
    assert match == expected
    status, film, _ = server.ask("GET", f"/v1/tmdb/{match['id']}")
    assert (status, film["id"], film["release_date"]) == (200, 9, "2027-02-03")
    assert film["movie"]["year"] == 2027
    assert not {"vote_average", "vote_count", "popularity", "runtime", "budget"} & set(film["movie"])
    status, answer, _ = server.ask("POST", "/v1/predict", {"movies": [film["movie"]]})
    assert status == 200
    (prediction,) = Classifier.load(served_model).predict([film["movie"]])
    assert answer["predictions"][0]["probabilities"] == pytest.approx(prediction.probabilities)


def test_an_answer_is_kept_in_memory(server: Server, source: fake.Server) -> None:
    server.ask("GET", "/v1/tmdb/11")
    server.ask("GET", "/v1/tmdb/11")
    assert source.statistics()["asked"]["11"] == 1


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/v1/tmdb/8", 404, "TMDB has no movie 8"),
        ("/v1/tmdb/0", 422, "movie_id: "),
        ("/v1/tmdb/9223372036854775808", 422, "movie_id: "),
        ("/v1/tmdb/soon", 422, "movie_id: "),
        ("/v1/tmdb", 422, "query: "),
        ("/v1/tmdb?query=", 422, "query: "),
        ("/v1/tmdb?query=%20", 422, "query: expected a title of 1 to 500 characters"),
        ("/v1/tmdb?query=x&year=27", 422, "year: "),
        ("/v1/tmdb/3", 502, "TMDB movie 3: title and summary are both empty"),
        ("/v1/tmdb/5", 502, "TMDB: HTTP 500; try again later"),
    ],
)
def test_what_cannot_be_found_has_a_reason_without_the_key(server: Server, path: str, status: int, detail: str) -> None:
    found = server.ask("GET", path)
    assert found[0] == status
    assert found[1]["detail"].startswith(detail)
    assert KEY not in str(found)
    assert KEY not in str(server.log)


def test_the_service_without_a_key_to_tmdb_has_no_look_ups(served_model: Path) -> None:
    with Server(served_model, "--no-page", TMDB_API_KEY="", TMDB_ACCESS_TOKEN="") as running:
        assert running.ask("GET", "/v1/tmdb/9")[0] == 404
        assert running.ask("GET", "/v1/tmdb?query=x")[0] == 404
        assert "/v1/tmdb" not in running.ask("GET", "/openapi.json")[1]["paths"]


def test_look_ups_need_the_key_of_the_service(served_model: Path, source: fake.Server) -> None:
    keys = {"TMDB_API_KEY": KEY, "TMDB_API_URL": f"{source.url}/3", "MOVIE_RATINGS_API_KEY": "sesame"}
    with Server(served_model, **keys) as running:
        assert running.ask("GET", "/v1/tmdb/9")[0] == 401
        assert running.ask("GET", "/v1/tmdb/9", **{"X-API-Key": "sesame"})[0] == 200
        status, page, _ = running.ask("GET", "/docs")
        assert status == 200
        assert "<tr><td>query<td>string<td>characters ≤ 500" in page
        assert "<tr><td>year<td>integer or null, optional<td>≥ 1,870, ≤ 2,100" in page


@pytest.mark.slow
def test_predictions_do_not_wait_for_a_look_up(served_model: Path) -> None:
    with (
        fake.Server(movies=9, latency=30.0) as slow,
        Server(served_model, "--no-page", TMDB_API_KEY=KEY, TMDB_API_URL=f"{slow.url}/3", NO_PROXY="*") as running,
    ):
        found: list[int] = []
        asking = threading.Thread(target=lambda: found.append(running.ask("GET", "/v1/tmdb/9")[0]))
        asking.start()
        while not slow.statistics()["moments"]:
            time.sleep(0.01)
        for _ in range(3):
            assert running.ask("POST", "/v1/predict", {"movies": [{"title": "Film"}]})[0] == 200
        assert not found  # the look-up still waits
        asking.join()
        assert found == [502]  # and is given up


class Slow:
    """Stands where TMDB's client does; its answers wait for ``release``."""

    def __init__(self) -> None:
        self.release, self.asked, self.together, self.most = threading.Event(), 0, 0, 0

    def film(self, movie_id: int) -> Film | None:
        self.asked += 1
        self.together += 1
        self.most = max(self.most, self.together)
        self.release.wait(10)
        self.together -= 1
        if movie_id == 13:
            raise UserError("TMDB: no answer")
        return Film({"id": movie_id})

    def search(self, title: str, year: int | None = None) -> Matches:
        raise RuntimeError(f"https://tmdb.invalid/?api_key={KEY}")


def with_slow() -> tuple[LookUps, Slow]:
    slow: Any = Slow()
    return LookUps(slow), slow


def test_look_ups_follow_one_another_and_equal_ones_share_an_answer() -> None:
    async def ask() -> Slow:
        look_ups, slow = with_slow()
        tasks = [asyncio.create_task(look_ups.film(n % 4 + 1)) for n in range(8)]
        started = time.monotonic()
        await asyncio.sleep(0.05)
        assert time.monotonic() - started < 0.5  # the loop, on which predictions wait, was free
        slow.release.set()
        films = await asyncio.gather(*tasks)
        assert [film and film.record["id"] for film in films] == [1, 2, 3, 4] * 2
        return slow

    slow = asyncio.run(ask())
    assert (slow.asked, slow.most) == (4, 1)


def test_too_many_look_ups_are_refused_and_late_ones_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tmdb, "PATIENCE", 0.1)

    async def ask() -> None:
        look_ups, slow = with_slow()
        tasks = [asyncio.create_task(look_ups.film(n)) for n in range(1, tmdb.WAITING + 1)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await look_ups.film(100)
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(outcome) for outcome in found} == {TimeoutError}
        slow.release.set()
        await asyncio.sleep(0.2)
        assert (await look_ups.film(1)) is not None  # what came too late is kept
        assert slow.asked == tmdb.WAITING

    asyncio.run(ask())


def test_the_page_gives_the_same_reasons_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tmdb, "PATIENCE", 0.1)

    async def ask() -> list[str]:
        async def reason(movie_id: int) -> str:
            with pytest.raises(Refusal) as refused, asking():
                await look_ups.known(movie_id)
            return str(refused.value.message)

        look_ups, slow = with_slow()
        late = [asyncio.create_task(reason(n)) for n in range(1, tmdb.WAITING + 1)]
        await asyncio.sleep(0)
        found = [await reason(100), *set(await asyncio.gather(*late))]
        slow.release.set()
        await asyncio.sleep(0.2)
        return [*found, await reason(13)]

    assert asyncio.run(ask()) == [
        "Too many requests at once; try again in a second.",
        "TMDB: no answer in time; try again later.",
        "TMDB: no answer.",
    ]


def test_a_failure_is_not_kept_and_shows_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> None:
        look_ups, slow = with_slow()
        slow.release.set()
        for _ in range(2):
            with pytest.raises(UserError, match="no answer"):
                await look_ups.film(13)
        assert slow.asked == 2
        with pytest.raises(UserError, match=r"^TMDB: no answer \(RuntimeError\)$"):
            await look_ups.search("x", None)

    asyncio.run(ask())


def test_the_memory_of_answers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tmdb, "KEPT", 3)

    async def ask() -> int:
        look_ups, slow = with_slow()
        slow.release.set()
        for movie_id in (1, 2, 3, 4, 4, 3, 2, 1):
            await look_ups.film(movie_id)
        return slow.asked

    assert asyncio.run(ask()) == 5  # the first one was dropped


def test_a_film_with_long_lists_is_cut_to_the_limits_of_a_request() -> None:
    details = fake.details(9, fake.Settings(crew=400)) | {"overview": "word " * 10_000, "title": "a" * 900}
    details["production_companies"] = [{"name": "b" * 300}] * 70
    facts = request_of(Film(movie(Details.model_validate(details), 10)))
    assert (len(facts["title"]), len(facts["summary"])) == (500, 20_000)
    assert [len(facts["editors"]), len(facts["companies"]), len(facts["companies"][0])] == [50, 50, 100]


def test_the_longest_title_is_the_same_on_both_sides() -> None:
    assert routes.LONGEST_QUERY == lookup.LONGEST_QUERY
