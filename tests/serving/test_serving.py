"""The service over real HTTP: both contracts, every way to get a request wrong, load, swap and stop."""

import asyncio
import base64
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from movie_ratings.movies.validation import validated
from movie_ratings.prediction import bulk
from movie_ratings.prediction.classifier import Classifier, Decision
from movie_ratings.prediction.explain import explain, explain_in_steps
from movie_ratings.prediction.steps import PART, Steps, finish
from serving.api import Access, create_app
from serving.batching import BATCH, LONG, QUEUED, Batcher, BusyError, ModelError
from serving.service import Service
from tests.support.builders import EVERYTHING, ROOT, last_line
from tests.support.service import Server

MOVIE = {"title": "Film 7", "summary": "A radiant vision.", "genres": ["Drama"]}
VALID = validated(MOVIE)


@pytest.fixture(scope="module")
def server(served_model: Path) -> Iterator[Server]:
    with Server(served_model, "--no-page") as running:
        yield running


def test_the_originals_curl_line(server: Server) -> None:
    line = (
        f"curl -s -X POST {server.url}/classifier_post -H 'Content-Type: application/json' -d "
        """'{"title": ["Film 1", "Film 2"], "summary": ["A dull noise.", "A radiant vision."], """
        """"genres": [["Drama", "No Such Genre"], []]}'"""
    )
    answer = json.loads(subprocess.run(line, shell=True, capture_output=True, check=True).stdout)
    assert answer.keys() == {"ratings"}
    assert len(answer["ratings"]) == 2
    assert set(answer["ratings"]) <= {"bad", "average", "good"}
    assert server.ask("GET", "/status")[1] == {"working": "yes"}


def test_predictions_are_those_of_the_classifier(server: Server, served_model: Path) -> None:
    classifier = Classifier.load(served_model)
    movies = [MOVIE | {"title": f"Film {n} 🎬 فيلم"} for n in range(5)]
    status, answer, _ = server.ask("POST", "/v1/predict", {"movies": movies})
    assert status == 200
    assert (answer["model_version"], answer["precision"]) == (classifier.version, "fp32")
    for found, expected in zip(answer["predictions"], classifier.predict(movies), strict=True):
        assert found["label"] == expected.label
        assert found["probabilities"] == pytest.approx(expected.probabilities, abs=1e-5)
        assert found["predicted_rating"] == pytest.approx(expected.predicted_rating, abs=1e-4)
        assert found["interval_80"] == pytest.approx(list(expected.interval_80), abs=1e-4)
        assert "comparables" not in found
    assert answer["base_rates"] == classifier.base_rates
    assert server.ask("POST", "/v1/predict", {"movies": []})[1]["predictions"] == []


def test_a_request_chooses_how_the_label_is_decided(server: Server) -> None:
    movies = [MOVIE, {"title": "Film 2", "summary": "A dull noise."}]
    for decision in ("balanced", "most_probable"):
        _, answer, _ = server.ask("POST", "/v1/predict", {"movies": movies, "decision": decision})
        for found in answer["predictions"]:
            probable = max(found["probabilities"], key=found["probabilities"].get)
            assert decision == "balanced" or found["label"] == probable
    status, answer, _ = server.ask("POST", "/v1/predict", {"movies": movies, "decision": "best"})
    assert (status, answer["faults"][0]["field"]) == (422, "decision")


def test_a_request_for_comparable_films_gets_those_of_the_classifier(server: Server, served_model: Path) -> None:
    status, answer, _ = server.ask("POST", "/v1/predict", {"movies": [MOVIE, {"title": "B"}], "comparables": True})
    assert status == 200
    expected = Classifier.load(served_model).comparables([validated(MOVIE), validated({"title": "B"})])
    for found, films in zip(answer["predictions"], expected, strict=True):
        assert found["comparables"] == [film._asdict() for film in films]


@pytest.mark.parametrize("decision", ["balanced", "most_probable"])
def test_an_explanation_is_that_of_the_library(server: Server, served_model: Path, decision: Decision) -> None:
    classifier = Classifier.load(served_model)
    status, answer, _ = server.ask("POST", "/v1/explain", {"movie": EVERYTHING, "decision": decision})
    assert status == 200
    expected = explain(classifier, validated(EVERYTHING), decision, "phrases")
    assert answer["model_version"] == classifier.version
    assert answer["base_rates"] == classifier.base_rates
    assert answer["prediction"]["label"] == expected.prediction.label
    (predicted,) = server.ask("POST", "/v1/predict", {"movies": [EVERYTHING], "decision": decision})[1]["predictions"]
    assert answer["prediction"]["probabilities"] == pytest.approx(predicted["probabilities"], abs=1e-5)
    for name, effects in (("fields", expected.fields), ("words", expected.words)):
        assert [(found["field"], found["text"]) for found in answer[name]] == [(e.field, e.text) for e in effects]
        assert [f["rating_effect"] for f in answer[name]] == pytest.approx([e.rating_effect for e in effects], abs=1e-4)
    found = answer["contributions"]
    assert expected.contributions is not None
    assert found["rating"] == pytest.approx(expected.contributions.rating)
    total = found["intercept"] + sum(each["points"] for each in found["strongest"]) + found["rest"]
    assert total == pytest.approx(found["rating"])


def test_eight_clients_at_a_time_are_all_answered_and_others_do_not_wait_for_them(server: Server) -> None:
    long = {"movie": EVERYTHING | {"summary": "A radiant tender vision of a day. " * 20}}
    statuses: list[int] = []

    def explain_often() -> None:
        statuses.extend(server.ask("POST", "/v1/explain", long)[0] for _ in range(4))

    clients = [threading.Thread(target=explain_often) for _ in range(8)]
    for client in clients:
        client.start()
    predicted = [server.ask("POST", "/v1/predict", {"movies": [MOVIE]})[0] for _ in range(10)]
    for client in clients:
        client.join()
    assert statuses == [200] * 32
    assert predicted == [200] * 10


def test_what_is_known_about_the_model(server: Server, served_model: Path) -> None:
    _, card, _ = server.ask("GET", "/v1/model")
    assert card["version"] == Classifier.load(served_model).version
    assert card["thresholds"] == {"low": 5.0, "high": 7.0}
    assert card["metrics"]["validation"]["rows"] == 40
    assert {"title", "genres", "summary", "year", "cast"} <= set(card["text"]["fields"])


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("/classifier_post", {"title": ["A"], "summary": ["b"], "genres": [[], []]}, 422, "genres"),
        ("/classifier_post", {"title": ["A"], "summary": [], "genres": [[]]}, 422, "summary"),
        ("/classifier_post", {"title": ["A"], "summary": ["b"]}, 422, "genres"),
        ("/classifier_post", {"title": ["A", ""], "summary": ["b", "\0"], "genres": [[], []]}, 422, "title.1"),
        ("/classifier_post", {"title": "A", "summary": ["b"], "genres": [[]]}, 422, "title"),
        ("/classifier_post", {"title": [], "summary": [], "genres": []}, 200, None),
        ("/classifier_post", {"title": ["A"] * 2_001, "summary": ["b"] * 2_001, "genres": [[]] * 2_001}, 422, "title"),
        ("/v1/predict", {"movies": [MOVIE, {"title": 7}]}, 422, "movies.1.title"),
        ("/v1/predict", {"movies": [{"title": "A", "vote_count": 7}]}, 422, "movies.0.vote_count"),
        ("/v1/predict", {"movies": [{"title": "A", "genres": "Drama"}]}, 422, "movies.0.genres"),
        ("/v1/predict", {"movies": [{"title": "A", "year": "1994"}]}, 422, "movies.0.year"),
        ("/v1/predict", {"movies": [{"title": "A", "year": 94}]}, 422, "movies.0.year"),
        ("/v1/predict", {"movies": [{"title": "A", "runtime": 1.5}]}, 422, "movies.0.runtime"),
        ("/v1/predict", {"movies": [{"title": "A", "cast": [1]}]}, 422, "movies.0.cast"),
        ("/v1/predict", {"movies": [{"title": "A", "year": None, "runtime": 0, "cast": []}]}, 200, None),
        ("/v1/predict", {"movies": [{"title": "A", "year": 1994, "directors": ["Ada \0 🎬"]}]}, 200, None),
        ("/v1/predict", {"movies": [{"title": "word " * 101}]}, 422, "movies.0.title"),
        ("/v1/predict", {"movies": [EVERYTHING]}, 200, None),
        ("/v1/predict", {"movies": [{"title": "A", "collection": None, "budget": None, "writers": []}]}, 200, None),
        ("/v1/predict", {"movies": [{"title": "A", "collection": ["B"]}]}, 422, "movies.0.collection"),
        ("/v1/predict", {"movies": [{"title": "A", "budget": -1}]}, 422, "movies.0.budget"),
        ("/v1/predict", {"movies": [{"title": "A", "companies": "B"}]}, 422, "movies.0.companies"),
        ("/v1/predict", {"movies": [{}]}, 422, "movies.0.title"),
        ("/v1/predict", {"movies": [{"title": "NUL\0 inside", "summary": "\u202e right to left 🎬"}]}, 200, None),
        ("/v1/predict", b'{"movies": [{"title": NaN}]}', 422, "movies.0.title"),
        ("/v1/predict", b'{"movies": [{"title": "\\ud800"}]}', 422, "movies.0.title"),
        ("/v1/predict", b'{"movies": [{"\\ud800": "A"}]}', 422, "movies.0"),
        ("/v1/predict", b'{"movies": [', 422, None),
        ("/v1/predict", b'\xff{"movies": []}', 400, None),
        ("/v1/predict", b"[" * 50_000, 400, None),
        ("/v1/predict", b"[" * 200_000, 413, None),
        ("/v1/predict", b'{"movies": ' + b"9" * 5_000 + b"}", 400, None),
        ("/v1/predict", b"", 422, "body"),
        ("/v1/predict", b" " * 10_000_000, 413, None),
        ("/v1/explain", {"movie": {"title": 7}}, 422, "movie.title"),
        ("/v1/explain", {"movie": {"title": " ", "summary": ""}}, 422, "movie.title"),
        ("/v1/explain", {"movie": {"title": "A", "year": 94}}, 422, "movie.year"),
        ("/v1/explain", {"movie": {"title": "A", "directors": "B"}}, 422, "movie.directors"),
        ("/v1/explain", {"movie": {"title": "A"}, "decision": "other"}, 422, "decision"),
        ("/v1/explain", {"movies": [MOVIE]}, 422, "movie"),
        ("/v1/explain", {"movie": {"title": "A"}, "movies": []}, 422, "movies"),
        ("/v1/explain", {"movie": EVERYTHING}, 200, None),
        ("/v1/explain", {"movie": {"title": "NUL\0 inside", "summary": "\u202e right to left 🎬"}}, 200, None),
        ("/v1/explain", {"movie": {"title": "A", "summary": "word " * 3_999}}, 200, None),
        ("/v1/explain", b" " * 10_000_000, 413, None),
        ("/nowhere", {}, 404, None),
    ],
)
def test_a_wrong_request_is_refused_by_the_name_of_its_field(
    server: Server, path: str, body: Any, status: int, field: str | None
) -> None:
    found, answer, _ = server.ask("POST", path, body)
    assert found == status
    if field is not None:
        assert answer["faults"][0]["field"].startswith(field)
        assert answer["detail"].startswith(field)


class Payload:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, path: Path):
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._path),)


@pytest.mark.parametrize("path", ["/v1/predict", "/classifier_post"])
@pytest.mark.parametrize(
    "kind",
    ["application/vnd.bentoml+pickle", "application/x-pickle", "application/octet-stream", "application/x-yaml", "*/*"],
)
def test_no_content_type_makes_the_service_unpickle_a_body(
    server: Server, tmp_path: Path, path: str, kind: str
) -> None:
    """BentoML CVE-2025-27520: a header of a request chose how its body is decoded."""
    made = tmp_path / "made"
    assert pickle.dumps(Payload(made))
    for body in (pickle.dumps(Payload(made)), base64.b64encode(pickle.dumps(Payload(made)))):
        headers = {"Content-Type": kind, "Payload-Container": "NdarrayContainer", "Payload-Meta": "{}"}
        assert server.ask("POST", path, body, **headers)[0] in (400, 422)
    assert not made.exists()


def test_a_body_without_a_length_is_limited_too(server: Server) -> None:
    command = ["curl", "-s", "-X", "POST", f"{server.url}/v1/predict", "-H", "Transfer-Encoding: chunked", "-T", "-"]
    done = subprocess.run([*command, "-w", "%{http_code}"], input=b" " * 10_000_000, capture_output=True, check=False)
    assert done.stdout.endswith(b"413")


def test_the_documentation_has_examples_that_work(server: Server) -> None:
    _, document, _ = server.ask("GET", "/openapi.json")
    schemas = document["components"]["schemas"]
    assert server.ask("POST", "/classifier_post", schemas["ColumnsRequest"]["examples"][0])[0] == 200
    assert server.ask("POST", "/v1/predict", {"movies": schemas["Movie"]["examples"]})[0] == 200
    assert server.ask("POST", "/v1/explain", {"movie": schemas["Movie"]["examples"][0]})[0] == 200
    _, page, _ = server.ask("GET", "/docs")
    assert "POST /v1/explain" in page
    assert "rating_effect" in page


@pytest.mark.slow
def test_nothing_that_the_documentation_allows_or_forbids_is_an_error_of_the_service(
    server: Server, tmp_path: Path
) -> None:
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{server.url}/openapi.json"]
    options = ["--checks", checks, "--max-examples", "25", "--seed", "1", "--phases", "examples,coverage,fuzzing"]
    # In a folder of its own, since it keeps what it found.
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3_000:]


def test_metrics_and_logs_count_and_hold_no_text(served_model: Path) -> None:
    with Server(served_model, "--no-page") as server:
        server.ask("POST", "/v1/predict", {"movies": [MOVIE, MOVIE]})
        server.ask("POST", "/v1/explain", {"movie": MOVIE})
        server.ask("GET", "/secret-path-of-a-user")
        _, text, _ = server.ask("GET", "/metrics")
        assert 'movie_ratings_requests_total{route="/v1/predict",status="200"} 1.0' in text
        assert 'movie_ratings_requests_total{route="/v1/explain",status="200"} 1.0' in text
        assert re.search(r'movie_ratings_predictions_total\{label="\w+"\} 3.0', text)
        assert "movie_ratings_batch_movies_sum 2.0" in text
        assert f'movie_ratings_model{{version="{Classifier.load(served_model).version}"}} 1.0' in text
        assert server.ask("GET", "/readyz")[0] == server.ask("GET", "/healthz")[0] == 200
    written = json.dumps(server.log) + text
    assert "secret-path" not in written
    assert "radiant" not in written
    first = next(line for line in server.log if line["event"] == "request")
    assert first["route"] == "/v1/predict"
    assert first["status"] == 200


def test_predictions_require_the_key_where_one_is_set(served_model: Path) -> None:
    with Server(served_model, MOVIE_RATINGS_API_KEY="hunter2") as server:
        body = {"movies": [MOVIE]}
        assert server.ask("POST", "/v1/predict", body)[0] == 401
        assert server.ask("POST", "/v1/explain", {"movie": MOVIE})[0] == 401
        assert server.ask("POST", "/v1/explain", {"movie": MOVIE}, **{"X-API-Key": "hunter2"})[0] == 200
        assert server.ask("POST", "/v1/predict", body, **{"X-API-Key": "hunter1"})[0] == 401
        assert server.ask("POST", "/v1/predict", body, **{"X-API-Key": "hunter2"})[0] == 200
        assert server.ask("GET", "/healthz")[0] == 200
        assert server.ask("GET", "/")[0] == 404
    assert "hunter" not in json.dumps(server.log)


class Slow:
    """A classifier whose predictions wait until ``may_go`` is set: meanwhile requests queue up."""

    version, precision = "slow", "fp32"

    def __init__(self, classifier: Classifier):
        self._classifier, self.sizes, self.may_go = classifier, list[int](), threading.Event()
        self.base_rates = classifier.base_rates

    def predict_validated(self, movies: list[Any]) -> Any:
        self.may_go.wait(10)
        self.sizes.append(len(movies))
        return self._classifier.predict_validated(movies)


def test_waiting_requests_share_batches_and_a_full_queue_refuses(served_model: Path) -> None:
    slow = Slow(Classifier.load(served_model))
    batcher = Batcher(slow, capacity=20)  # type: ignore[arg-type]

    async def scenario() -> None:
        first = asyncio.create_task(batcher.predict([VALID]))
        await asyncio.sleep(0.2)
        pairs = [[validated(MOVIE | {"title": f"Film {n}"})] * 2 for n in range(9)]
        waiting = [asyncio.create_task(batcher.predict(pair)) for pair in pairs]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await batcher.predict([VALID] * 2)
        slow.may_go.set()
        assert len((await first).predictions) == 1
        assert [len((await answer).predictions) for answer in waiting] == [2] * 9
        # Larger than the queue, but nothing waits.
        assert len((await batcher.predict([VALID] * 30)).predictions) == 30

    asyncio.run(scenario())
    assert slow.sizes == [1, 18, 30]
    assert BATCH >= 18
    batcher.close()


def test_an_error_of_the_model_is_the_answer_of_its_batch_and_of_no_other(served_model: Path) -> None:
    classifier = Classifier.load(served_model)
    batcher = Batcher(Broken(), capacity=20)  # type: ignore[arg-type]

    async def scenario() -> None:
        with pytest.raises(ZeroDivisionError):
            await batcher.predict([VALID])
        with pytest.raises(ZeroDivisionError):
            await batcher.run(lambda found: found.predict_in_steps([VALID]))
        batcher.swap(classifier)
        assert len((await batcher.predict([VALID])).predictions) == 1

    asyncio.run(scenario())
    assert batcher.open == 0
    batcher.close()


class Broken:
    """A classifier that always fails."""

    version = "broken"

    def predict_validated(self, movies: list[Any]) -> Any:
        raise ZeroDivisionError

    def predict_in_steps(self, movies: list[Any]) -> Any:
        raise ZeroDivisionError


def test_a_movie_that_cannot_be_read_fails_no_other_request(server: Server) -> None:
    with Load(server, 2) as load:
        refused = [server.ask("POST", "/v1/predict", {"movies": [MOVIE, {"title": ""}]}) for _ in range(20)]
    assert {status for status, _, _ in refused} == {422}
    assert refused[0][1]["detail"] == "movies.1.title: title and summary are both empty"
    assert set(load.statuses) == {200}
    assert not load.broken


def test_requests_are_answered_between_the_steps_of_long_work(served_model: Path) -> None:
    batcher = Batcher(Classifier.load(served_model))
    order: list[str] = []

    def work(classifier: Classifier) -> Steps[str]:
        for _ in range(50):
            time.sleep(0.01)
            order.append("step")
            yield
        return "done"

    async def scenario() -> None:
        long = asyncio.create_task(batcher.run(work))
        await asyncio.sleep(0.05)
        for _ in range(3):
            await batcher.predict([VALID])
            order.append("request")
        assert await long == "done"

    asyncio.run(scenario())
    batcher.close()
    assert order.count("step") == 50
    assert order.count("request") == 3
    assert order[-1] == "step", "the requests did not wait for the end of the long work"


def test_a_table_is_encoded_between_pauses_too(served_model: Path) -> None:
    classifier = Classifier.load(served_model)
    movies = [VALID] * 200
    encoded: list[int] = []
    encode = classifier.encode

    def counted(part: Sequence[Mapping[str, Any]]) -> list[list[int]]:
        encoded.append(len(part))
        return encode(part)

    classifier.encode = counted  # type: ignore[assignment, method-assign]
    steps = bulk.predict_in_steps(classifier, movies)
    next(steps)
    assert sum(encoded) <= PART
    assert finish(steps) == classifier.predict_validated(movies)


def test_long_work_keeps_the_model_that_it_began_with(served_model: Path) -> None:
    old, new = Classifier.load(served_model), Classifier.load(served_model)
    batcher = Batcher(old)
    seen: list[Classifier] = []

    def work(classifier: Classifier) -> Steps[None]:
        seen.append(classifier)
        yield
        batcher.swap(new)
        yield
        yield from explain_in_steps(classifier, VALID)
        seen.append(classifier)

    asyncio.run(batcher.run(work))
    batcher.close()
    assert seen == [old, old]
    assert batcher.classifier is new


def test_long_work_is_limited_apart_from_requests_and_abandoned_at_the_end(served_model: Path) -> None:
    batcher = Batcher(Classifier.load(served_model))
    ended: list[int] = []

    def work(classifier: Classifier) -> Steps[None]:
        try:
            while True:
                time.sleep(0.001)
                yield
        finally:
            ended.append(1)

    async def scenario() -> None:
        endless = [asyncio.create_task(batcher.run(work)) for _ in range(LONG)]
        await asyncio.sleep(0.1)
        with pytest.raises(BusyError):
            await batcher.run(work)
        assert not batcher.full
        assert len((await batcher.predict([VALID])).predictions) == 1
        # A client that leaves makes room for another one.
        endless.pop().cancel()
        await asyncio.sleep(0.1)
        endless.append(asyncio.create_task(batcher.run(work)))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(batcher.close)
        for one in endless:
            with pytest.raises(BusyError):
                await one

    asyncio.run(scenario())
    assert len(ended) == LONG + 1


class Panicking:
    """A classifier in whose native code something panics, which Python sees as a BaseException."""

    class Panic(BaseException):
        pass

    version = "panicking"

    def predict_validated(self, movies: list[Any]) -> Any:
        raise self.Panic

    def predict_in_steps(self, movies: list[Any]) -> Any:
        raise self.Panic
        yield


def test_a_panic_of_native_code_is_an_answer_and_the_queue_goes_on(served_model: Path) -> None:
    batcher = Batcher(Panicking(), capacity=20)  # type: ignore[arg-type]

    async def scenario() -> None:
        for _ in range(3):
            with pytest.raises(ModelError, match="Panic"):
                await asyncio.wait_for(batcher.predict([VALID]), 10)
            with pytest.raises(ModelError, match="Panic"):
                await asyncio.wait_for(batcher.run(lambda found: found.predict_in_steps([VALID])), 10)
        assert batcher.working
        batcher.swap(Classifier.load(served_model))
        assert len((await batcher.predict([VALID])).predictions) == 1

    asyncio.run(scenario())
    assert batcher.open == 0
    assert batcher.close()


def test_too_few_predictions_are_an_error_and_no_request_that_hangs() -> None:
    class Short(Broken):
        def predict_validated(self, movies: list[Any]) -> Any:
            return []

    batcher = Batcher(Short())  # type: ignore[arg-type]

    async def scenario() -> None:
        with pytest.raises(ModelError):
            await asyncio.wait_for(batcher.predict([VALID]), 10)

    asyncio.run(scenario())
    assert batcher.close()


def test_a_queue_whose_thread_is_dead_or_stuck_is_not_ready(
    served_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(Classifier.load(served_model))
    service = Service(slow)  # type: ignore[arg-type]
    app = create_app(service, Access())

    async def scenario() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            assert (await client.get("/readyz")).status_code == 200
            monkeypatch.setattr("serving.batching.STALLED", 0.1)
            waiting = asyncio.create_task(service.predict([VALID]))
            await asyncio.sleep(0.3)
            stuck = await client.get("/readyz")
            assert stuck.status_code == 503
            assert "stand still" in stuck.json()["detail"]
            assert (await client.get("/healthz")).status_code == 200
            slow.may_go.set()
            await waiting
            await asyncio.sleep(0.05)
            assert (await client.get("/readyz")).status_code == 200
            service.close()
            assert (await client.get("/readyz")).status_code == 503

    asyncio.run(scenario())


def test_a_stop_does_not_wait_for_a_batch_without_an_end(served_model: Path) -> None:
    slow = Slow(Classifier.load(served_model))
    batcher = Batcher(slow)  # type: ignore[arg-type]

    async def scenario() -> None:
        stuck = asyncio.create_task(batcher.predict([VALID]))
        await asyncio.sleep(0.1)
        behind = asyncio.create_task(batcher.predict([VALID]))
        await asyncio.sleep(0.1)
        started = time.monotonic()
        assert not await asyncio.to_thread(batcher.close, 0.2)
        assert time.monotonic() - started < 2
        with pytest.raises(BusyError):
            await behind
        slow.may_go.set()
        assert len((await stuck).predictions) == 1

    asyncio.run(scenario())


def test_a_batch_waits_for_one_step_of_long_work_however_much_is_open(served_model: Path) -> None:
    batcher = Batcher(Classifier.load(served_model))
    order: list[str] = []

    def work(classifier: Classifier) -> Steps[None]:
        for _ in range(20):
            time.sleep(0.01)
            order.append("step")
            yield

    async def scenario() -> None:
        long = [asyncio.create_task(batcher.run(work)) for _ in range(LONG)]
        await asyncio.sleep(0.05)
        for _ in range(5):
            before = len(order)
            await batcher.predict([VALID])
            assert len(order) - before <= 2, "the step that ran, and one more if it had just ended"
        await asyncio.gather(*long)

    asyncio.run(scenario())
    batcher.close()


def test_queued_work_runs_in_its_order_and_takes_turns_with_long_work(served_model: Path) -> None:
    batcher = Batcher(Classifier.load(served_model))
    order: list[str] = []

    def steps(name: str, count: int) -> Callable[[Classifier], Steps[str]]:
        def work(classifier: Classifier) -> Steps[str]:
            for _ in range(count):
                time.sleep(0.005)
                order.append(name)
                yield
            return name

        return work

    async def scenario() -> None:
        long = asyncio.create_task(batcher.run(steps("long", 40)))
        queued = [asyncio.create_task(batcher.run_queued(steps(f"{n}", 5))) for n in range(QUEUED)]
        await asyncio.sleep(0.02)
        with pytest.raises(BusyError):
            await batcher.run_queued(steps("refused", 1))
        # One that nobody waits for any more takes no time.
        queued.pop(3).cancel()
        for _ in range(3):
            before = len(order)
            await batcher.predict([VALID])
            assert len(order) - before <= 2, "the step that ran, and one more if it had just ended"
        assert await asyncio.gather(long, *queued) == ["long", *(f"{n}" for n in range(QUEUED) if n != 3)]
        assert await batcher.run_queued(steps("last", 1)) == "last"

    asyncio.run(scenario())
    assert batcher.close()
    short = [name for name in order if name != "long"]
    assert short == [*(f"{n}" for n in range(QUEUED) if n != 3 for _ in range(5)), "last"]
    first_turns = order[: order.index("4")]
    assert abs(first_turns.count("long") - len(first_turns) / 2) <= 3


def test_queued_work_is_refused_when_the_service_stops(served_model: Path) -> None:
    batcher = Batcher(Classifier.load(served_model))

    def endless(classifier: Classifier) -> Steps[None]:
        while True:
            time.sleep(0.001)
            yield

    async def scenario() -> None:
        waiting = [asyncio.create_task(batcher.run_queued(endless)) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert await asyncio.to_thread(batcher.close)
        for one in waiting:
            with pytest.raises(BusyError):
                await asyncio.wait_for(one, 10)
        with pytest.raises(BusyError):
            await batcher.run_queued(endless)

    asyncio.run(scenario())


def test_an_error_in_queued_work_is_its_own(served_model: Path) -> None:
    batcher = Batcher(Classifier.load(served_model))

    def broken(classifier: Classifier) -> Steps[None]:
        yield
        raise ZeroDivisionError

    async def scenario() -> None:
        first = asyncio.create_task(batcher.run_queued(broken))
        second = asyncio.create_task(batcher.run_queued(lambda found: explain_in_steps(found, VALID)))
        with pytest.raises(ZeroDivisionError):
            await first
        assert (await second).prediction.label

    asyncio.run(scenario())
    assert batcher.close()


def test_too_many_explanations_get_503_and_when_to_try_again(served_model: Path) -> None:
    service = Service(Classifier.load(served_model))
    app = create_app(service, Access())
    may_go = threading.Event()

    def waits(classifier: Classifier) -> Steps[None]:
        may_go.wait(10)
        return
        yield

    async def scenario() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            waiting = [asyncio.create_task(service._batcher.run_queued(waits)) for _ in range(QUEUED)]
            await asyncio.sleep(0)
            refused = await client.post("/v1/explain", json={"movie": MOVIE})
            assert refused.status_code == 503
            assert refused.headers["Retry-After"] == "1"
            may_go.set()
            await asyncio.gather(*waiting)
            assert (await client.post("/v1/explain", json={"movie": MOVIE})).status_code == 200

    asyncio.run(scenario())
    assert service.close()


def test_more_movies_than_a_batch_are_predicted_in_parts_by_one_model(served_model: Path) -> None:
    classifier = Classifier.load(served_model)
    sizes: list[int] = []
    batcher = Batcher(classifier, capacity=4, on_batch=sizes.append)
    movies = [validated(MOVIE | {"title": f"Film {n}"}) for n in range(2 * BATCH + 6)]

    async def scenario() -> None:
        found = await batcher.predict(movies)
        assert [p.label for p in found.predictions] == [p.label for p in classifier.predict(movies)]
        assert found.version == classifier.version

    asyncio.run(scenario())
    batcher.close()
    assert sum(sizes) == len(movies)
    assert max(sizes) <= BATCH


class Load:
    """Clients that send one request after another until the block ends; keeps the statuses of the responses."""

    def __init__(self, server: Server, clients: int):
        self.statuses: list[int] = []
        self.broken: list[Exception] = []
        self.versions: set[str] = set()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(server,)) for _ in range(clients)]

    def _ask(self, server: Server) -> None:
        while not self._stop.is_set():
            try:
                status, answer, headers = server.ask("POST", "/v1/predict", {"movies": [MOVIE]})
            except ConnectionRefusedError:
                return  # nothing was accepted, nothing is lost
            except Exception as error:
                self.broken.append(error)
                return
            self.statuses.append(status)
            self.versions.add(answer.get("model_version", headers.get("retry-after")))

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *arguments: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_a_full_service_refuses_with_503_and_recovers(served_model: Path) -> None:
    with Server(served_model, "--no-page", "--capacity", "1") as server:
        with Load(server, 12) as load:
            time.sleep(1.5)
        assert set(load.statuses) == {200, 503}
        assert "1" in load.versions
        assert not load.broken
        assert server.ask("POST", "/v1/predict", {"movies": [MOVIE]})[0] == 200


def test_the_model_is_swapped_without_losing_a_request(trained: Path) -> None:
    metadata = trained / "movie_ratings.json"
    old, whole = Classifier.load(trained).version, json.loads(metadata.read_text())
    with Server(trained, "--no-page") as server, Load(server, 4) as load:
        metadata.write_text("{}")
        server.kill(signal.SIGHUP)
        assert "not a checkpoint's metadata" in server.wait_for("the old model goes on")["reason"]
        whole["answerings"]["plot"]["calibration"]["bias"][0] += 1
        metadata.write_text(json.dumps(whole))
        server.kill(signal.SIGHUP)
        new = server.wait_for("swapped")["version"]
        time.sleep(0.3)
    assert new == Classifier.load(trained).version
    assert load.versions == {old, new}
    assert set(load.statuses) == {200}
    assert not load.broken


def test_a_stop_under_load_loses_no_accepted_request(served_model: Path) -> None:
    with Server(served_model, "--no-page") as server, Load(server, 12) as load:
        time.sleep(0.7)
        server.kill(signal.SIGTERM)
        assert server.wait() == 0
    # What the service took on is what the clients were answered. A connection that it never accepted, because it came
    # as the port was being closed, is reset by the system, as is one that comes later.
    taken = [line["status"] for line in server.log if line["event"] == "request"]
    assert len(taken) > 12
    assert set(taken) <= {200, 503}
    assert sorted(load.statuses) == sorted(taken)
    assert all(isinstance(error, ConnectionError) for error in load.broken)
    assert server.log[-1]["event"] == "stopped"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--model", "nowhere"], "nowhere: no such model"),
        (["--port", "99999"], "--port 99999: cannot be listened on"),
        (["--capacity", "0"], "--capacity: at least 1"),
        (["--cache", "-1"], "--cache: at least 0, found -1"),
    ],
)
def test_what_keeps_it_from_starting_is_one_line(trained: Path, arguments: list[str], complaint: str) -> None:
    command = [sys.executable, "-m", "serving", "--no-page", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert complaint in done.stderr


def test_serving_needs_no_training_library() -> None:
    code = (
        "import sys, serving.page, serving.__main__; "
        "print({'torch', 'transformers', 'dvc', 'sklearn', 'scipy', 'polars'} & set(sys.modules))"
    )
    assert last_line(code) == "set()"
