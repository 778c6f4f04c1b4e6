"""The log of predictions: what it holds, feedback, kills, its bounds, a full disk, and that it is off by default."""

import json
import os
import resource
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from movie_ratings.core.errors import UserError
from movie_ratings.log import parts, read, records
from movie_ratings.log.schemas import PREDICTION
from movie_ratings.movies.validation import validated
from movie_ratings.prediction.classifier import Prediction
from serving import prediction_log
from serving.log_options import LogOptions
from serving.metrics import Metrics
from serving.prediction_log import ROWS, PredictionLog
from tests.support.builders import EVERYTHING, largest_file, last_line
from tests.support.service import Server

MOVIE = {"title": "Film 7", "summary": "A radiant vision.", "genres": ["Drama", "Crime"], "year": 1994}
VALID = validated(MOVIE)
PREDICTED = Prediction("good", {"bad": 0.1, "average": 0.3, "good": 0.6}, 6.5, (5.5, 7.5))


def rows(folder: Path, kind: str = "predictions") -> list[dict[str, Any]]:
    """All rows of the log, in their order."""
    return [row for batch in read.batches(folder, kind) for row in batch.to_pylist()]


def waited(wanted: Callable[[], Any]) -> Any:
    """What ``wanted`` returns, once it is true."""
    until = time.monotonic() + 60
    while not (found := wanted()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served") / "log"


@pytest.fixture(scope="module")
def server(served_model: Path, folder: Path) -> Iterator[Server]:
    with Server(served_model, "--no-page", "--log", str(folder)) as running:
        yield running


def test_each_prediction_is_a_row_with_the_answer_and_without_the_text(server: Server, folder: Path) -> None:
    before, count = time.time(), len(rows(folder))
    other = {"title": "Film 8 🎬", "summary": "A dull noise."}
    _, answer, _ = server.ask("POST", "/v1/predict", {"movies": [MOVIE, other, MOVIE]})
    found = waited(lambda: rows(folder)[count:])
    assert [row["id"] for row in found] == [prediction["id"] for prediction in answer["predictions"]]
    for row, prediction in zip(found, answer["predictions"], strict=True):
        assert row["model_version"] == answer["model_version"]
        assert row["label"] == prediction["label"]
        assert {name: row[f"probability_{name}"] for name in prediction["probabilities"]} == prediction["probabilities"]
        assert row["predicted_rating"] == prediction["predicted_rating"]
        assert [row["predicted_rating_low"], row["predicted_rating_high"]] == prediction["interval_80"]
        assert before - 1 < row["time"].timestamp() < time.time() + 1
        assert row["movie"] is None
    assert found[0]["known"] == ["title", "genres", "year", "summary"]
    assert found[1]["known"] == ["title", "summary"]
    assert found[0]["input_hash"] == found[2]["input_hash"] != found[1]["input_hash"]
    assert not [path for path in folder.iterdir() if b"Film 7" in path.read_bytes()]


def test_the_originals_route_is_logged_and_its_answer_is_the_same(server: Server, folder: Path) -> None:
    count = len(rows(folder))
    body = {"title": ["Film 1"], "summary": ["A dull noise."], "genres": [[]]}
    assert server.ask("POST", "/classifier_post", body)[1].keys() == {"ratings"}
    assert len(waited(lambda: rows(folder)[count:])) == 1


def test_feedback_is_kept_beside_the_predictions(server: Server, folder: Path) -> None:
    _, answer, _ = server.ask("POST", "/v1/predict", {"movies": [MOVIE]})
    number, count = answer["predictions"][0]["id"], len(rows(folder, "feedback"))
    assert server.ask("POST", "/v1/feedback", {"id": number, "rating": 7})[:2] == (202, {"status": "accepted"})
    assert server.ask("POST", "/v1/feedback", {"id": number, "label": "bad"})[0] == 202
    found = waited(lambda: len(rows(folder, "feedback")) == count + 2 and rows(folder, "feedback")[count:])
    assert [(row["id"], row["rating"], row["label"]) for row in found] == [(number, 7.0, None), (number, None, "bad")]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"rating": 7}, 422, "id"),
        ({"id": "x", "rating": 7}, 422, "id"),
        ({"id": "OWN"}, 422, "body"),
        ({"id": "OWN", "rating": 7, "label": "bad"}, 422, "body"),
        ({"id": "OWN", "rating": 11}, 422, "rating"),
        ({"id": "OWN", "rating": True}, 422, "rating"),
        ({"id": "OWN", "rating": float("nan")}, 422, "rating"),
        ({"id": "OWN", "label": "great"}, 422, "label"),
        ({"id": "OWN", "label": "bad", "comment": "x"}, 422, "comment"),
        ({"id": "0" * 32, "label": "bad"}, 404, None),
    ],
)
def test_feedback_is_validated(server: Server, body: dict[str, Any], status: int, field: str | None) -> None:
    _, answer, _ = server.ask("POST", "/v1/predict", {"movies": [MOVIE]})
    if body.get("id") == "OWN":
        body = body | {"id": answer["predictions"][0]["id"]}
    found, refusal, _ = server.ask("POST", "/v1/feedback", body)
    assert found == status
    assert (refusal["faults"][0]["field"] if refusal["faults"] else None) == field


def test_an_id_of_another_log_is_unknown() -> None:
    key, other = bytes(32), bytes(31) + b"x"
    number = records.new_id(key)
    assert records.is_own(number, key)
    assert not records.is_own(number, other)
    assert not records.is_own(number[:-1] + ("0" if number[-1] != "0" else "1"), key)
    assert len({records.new_id(key) for _ in range(1_000)}) == 1_000


def test_without_the_option_there_is_no_id_no_route_and_no_folder(served_model: Path, workspace: Path) -> None:
    with Server(served_model, "--no-page") as server:
        _, answer, _ = server.ask("POST", "/v1/predict", {"movies": [MOVIE]})
        assert "id" not in answer["predictions"][0]
        assert server.ask("POST", "/v1/feedback", {"id": "0" * 32, "label": "bad"})[0] == 404
        assert "/v1/feedback" not in server.ask("GET", "/openapi.json")[1]["paths"]
        assert "movie_ratings_log_writes 0.0" in server.ask("GET", "/metrics")[1]
        assert "libarrow" not in server.loaded
    assert not list(workspace.iterdir())


def test_a_killed_service_loses_no_row_older_than_a_second(served_model: Path, tmp_path: Path) -> None:
    server = Server(served_model, "--no-page", "--log", str(tmp_path / "log"))
    server.port = server.wait_for("serving")["address"][1]
    _, answer, _ = server.ask("POST", "/v1/predict", {"movies": [MOVIE] * 3})
    time.sleep(1)
    server.kill(signal.SIGKILL)
    server.wait()
    ids = [prediction["id"] for prediction in answer["predictions"]]
    assert [row["id"] for row in rows(tmp_path / "log")] == ids
    with Server(served_model, "--no-page", "--log", str(tmp_path / "log")) as again:
        assert not parts.open_files(tmp_path / "log", "predictions")  # what was left is a part now
        assert again.ask("POST", "/v1/feedback", {"id": ids[0], "label": "bad"})[0] == 202  # the key is the same
        assert again.ask("POST", "/v1/predict", {"movies": [MOVIE]})[0] == 200
    # After a stop, all is in parts.
    assert sorted(path.suffix for path in (tmp_path / "log").iterdir() if path.suffix) == [".parquet"] * 3
    assert len(rows(tmp_path / "log")) == 4
    assert rows(tmp_path / "log")[0]["id"] == ids[0]
    assert len(rows(tmp_path / "log", "feedback")) == 1


def test_texts_are_kept_on_request(served_model: Path, tmp_path: Path) -> None:
    with Server(served_model, "--no-page", "--log", str(tmp_path / "log"), "--log-texts") as server:
        server.ask("POST", "/v1/predict", {"movies": [EVERYTHING]})
    (row,) = rows(tmp_path / "log")
    assert json.loads(row["movie"]) == EVERYTHING
    assert set(row["known"]) == set(EVERYTHING)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--log-texts"], "--log-texts: needs --log FOLDER"),
        (["--log", "log", "--log-megabytes", "0"], "--log-megabytes: at least 1, found 0"),
        (["--log", "a_file"], "a_file: not a folder"),
        (["--log", "damaged"], "damaged/salt: not 64 hexadecimal digits"),
    ],
)
def test_a_log_that_cannot_be_written_is_refused_at_the_start(
    trained: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from serving.__main__ import main

    Path("a_file").touch()
    Path("damaged").mkdir()
    Path("damaged/salt").write_text("abc")
    assert main([*arguments, "--model", str(trained), "--no-page", "--port", "0"]) == 2
    assert f"error: {message}" in capsys.readouterr().err


@pytest.fixture
def open_log(tmp_path: Path) -> Iterator[Callable[..., PredictionLog]]:
    """Opens the log of ``tmp_path``/log with options; it is closed after the test."""
    opened: list[PredictionLog] = []

    def start(**options: Any) -> PredictionLog:
        metrics = options.pop("metrics", None) or Metrics()
        opened.append(PredictionLog(LogOptions(tmp_path / "log", **options), metrics))
        return opened[-1]

    yield start
    for log in opened:
        log.close()


def test_two_processes_do_not_write_one_log(open_log: Callable[..., PredictionLog]) -> None:
    open_log()
    with pytest.raises(UserError, match="another process writes this log"):
        open_log()


def test_the_folder_and_its_key_are_the_owners_alone(open_log: Callable[..., PredictionLog], tmp_path: Path) -> None:
    open_log()
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "log" / "salt").stat().st_mode) == 0o600


def test_the_log_stays_within_its_limit_and_loses_the_oldest_parts(
    open_log: Callable[..., PredictionLog], tmp_path: Path
) -> None:
    log, limit = open_log(limit=1 << 20, texts=True), 1 << 20
    movies = [validated({"title": os.urandom(2_000).hex()}) for _ in range(100)]
    ids: list[str] = []
    largest = 0
    for _ in range(10):
        ids += log.predicted(movies, [PREDICTED] * 100, "abc") or ()
        waited(lambda: not log._rows)
        time.sleep(0.05)
        largest = max(largest, sum(path.stat().st_size for path in (tmp_path / "log").iterdir() if path.exists()))
    log.close()
    assert largest <= limit
    found = [row["id"] for row in rows(tmp_path / "log")]
    assert 100 < len(found) < 1_000
    assert found == ids[-len(found) :]


def test_a_full_queue_costs_no_prediction_and_is_counted(
    open_log: Callable[..., PredictionLog], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    held, metrics = threading.Event(), Metrics()
    monkeypatch.setattr(parts.Parts, "append", lambda self, rows: held.wait(60))
    log = open_log(metrics=metrics)
    assert log.predicted([VALID], [PREDICTED], "abc")
    waited(lambda: not log._rows)  # the thread has the row, and stands
    assert log.predicted([VALID] * ROWS, [PREDICTED] * ROWS, "abc")
    started = time.monotonic()
    assert log.predicted([VALID], [PREDICTED], "abc") is None
    assert not log.rated(records.new_id(bytes(32)), 5.0, None)
    assert time.monotonic() - started < 1
    dropped = {
        s.labels["kind"]: s.value for s in next(iter(metrics.log_dropped.collect())).samples if "total" in s.name
    }
    assert dropped == {"predictions": 1, "feedback": 1}
    held.set()


def test_long_movies_fill_the_queue_before_many_do(
    open_log: Callable[..., PredictionLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_log, "FLUSH", 60)
    log, long = open_log(), validated({"title": "A", "summary": "x" * 900_000})
    kept = [log.predicted([long], [PREDICTED], "abc") is not None for _ in range(30)]
    assert kept == [True] * 18 + [False] * 12


@pytest.mark.slow
def test_a_full_disk_stops_the_log_and_no_prediction(served_model: Path, tmp_path: Path) -> None:
    server = Server(served_model, "--no-page", "--log", str(tmp_path / "log"), "--log-texts")
    with server:
        pid, movies = server._process.pid, [MOVIE | {"summary": "x" * 1_000}] * 32
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (20_000, 20_000))
        assert server.ask("POST", "/v1/predict", {"movies": movies})[0] == 200
        assert server.wait_for("the log of predictions stops")["reason"]
        status, answer, _ = server.ask("POST", "/v1/predict", {"movies": [MOVIE]})
        assert status == 200
        assert "id" not in answer["predictions"][0]
        status, _, headers = server.ask("POST", "/v1/feedback", {"id": first_id(tmp_path / "log"), "label": "bad"})
        assert (status, "retry-after" in headers) == (503, True)
        exported = server.ask("GET", "/metrics")[1]
        assert "movie_ratings_log_writes 0.0" in exported
        assert 'movie_ratings_log_dropped_rows_total{kind="predictions"} 33.0' in exported
    assert [line["event"] for line in server.log].count("the log of predictions stops") == 1
    # The rows before the torn one are read, and are made a part by the next service.
    before = rows(tmp_path / "log")
    assert 0 < len(before) < 32
    with Server(served_model, "--no-page", "--log", str(tmp_path / "log")):
        assert rows(tmp_path / "log") == before


def first_id(folder: Path) -> str:
    return str(rows(folder)[0]["id"])


def test_what_a_kill_left_at_any_moment_is_completed_or_removed(tmp_path: Path) -> None:
    def row(number: int) -> dict[str, Any]:
        return dict.fromkeys(PREDICTION.names) | {"time": number, "id": str(number)}

    def lines(*numbers: int) -> str:
        return "".join(json.dumps(row(number)) + "\n" for number in numbers)

    stamp = "predictions-20260101T00000{}.000000"
    pq.write_table(pa.Table.from_pylist([row(1)], PREDICTION), tmp_path / f"{stamp.format(1)}.parquet")
    (tmp_path / f"{stamp.format(1)}.open.jsonl").write_text(lines(1))  # killed before the lines were removed
    (tmp_path / f".{stamp.format(2)}.parquet.tmp").write_bytes(b"PAR1")  # killed while the part was written
    (tmp_path / f"{stamp.format(2)}.open.jsonl").write_text(lines(2, 3) + lines(4)[:-9])  # killed within a line
    (tmp_path / f"{stamp.format(3)}.open.jsonl").write_text("")  # killed before the first line
    assert [found["id"] for found in rows(tmp_path)] == ["1", "2", "3"]  # also while nothing is mended yet
    parts.Parts(tmp_path, "predictions", 1 << 20)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{stamp.format(n)}.parquet" for n in (1, 2)]
    assert [found["id"] for found in rows(tmp_path)] == ["1", "2", "3"]


def test_files_that_are_no_rows_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "predictions-20260101T000000.000000.open.jsonl"
    path.write_text('{"time": "yesterday"}\n')
    with pytest.raises(UserError, match="not lines of this log"):
        parts.Parts(tmp_path, "predictions", 1 << 20)
    with pytest.raises(UserError, match="not lines of this log"):
        rows(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        rows(tmp_path / "nowhere")


def test_an_old_file_becomes_a_part(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = parts.Parts(tmp_path, "feedback", 1 << 20)
    found.append([{"time": 1, "id": "a", "rating": 1.0, "label": None}])
    found.rotate_if_old()
    assert not parts.part_files(tmp_path, "feedback")
    monkeypatch.setattr(parts, "OLDEST", 0.0)
    found.rotate_if_old()
    assert len(parts.part_files(tmp_path, "feedback")) == 1
    assert not parts.open_files(tmp_path, "feedback")


def test_a_disk_without_room_leaves_the_lines_and_no_half_part(tmp_path: Path) -> None:
    found = parts.Parts(tmp_path, "feedback", 8 << 20)
    found.append([{"time": 1, "id": os.urandom(16).hex(), "rating": 1.0, "label": None} for _ in range(2_000)])
    with largest_file(1_000), pytest.raises((OSError, UserError)):
        found.rotate()
    assert [path.suffix for path in tmp_path.iterdir()] == [".jsonl"]
    assert len(rows(tmp_path, "feedback")) == 2_000


def test_a_part_is_made_without_pandas_which_takes_the_memory_of_a_small_model(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from movie_ratings.log.parts import Parts
parts = Parts(Path({str(tmp_path)!r}), "feedback", 1 << 20)
parts.append([{{"time": 1, "id": "a", "rating": 1.0, "label": None}}])
parts.rotate()
print("pandas" in sys.modules)
"""
    assert last_line(code) == "False"
    assert len(rows(tmp_path, "feedback")) == 1
