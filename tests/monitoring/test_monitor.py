"""The monitor: what has moved is found, what has not is left alone, and its three files say the same."""

import json
import random
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from prometheus_client.parser import text_string_to_metric_families

from movie_ratings.core import parquet, storage
from movie_ratings.core.paths import CLEAN, PREDICTIONS, SPLITS, THRESHOLDS
from movie_ratings.log import parts, records
from movie_ratings.log.schemas import PREDICTION
from movie_ratings.model.answers import Answers, Ratings
from movie_ratings.monitoring import drift
from movie_ratings.monitoring.summary import Summary
from movie_ratings.monitoring.truth import judged
from movie_ratings.movies.labels import CLASSES, Thresholds, class_indices
from movie_ratings.movies.record import MOVIE, SPLIT_OF
from stages import monitor
from tests.monitoring.test_gate import predicted, write
from tests.support.builders import movie, read_params, write_params

KEY = bytes(32)
Rows = list[dict[str, Any]]


def films(count: int, seed: int, first: int = 0, **fields: Any) -> Rows:
    """Movies of three genres and four decades, each by one of 200 directors."""
    chosen = random.Random(seed)
    return [
        movie(
            first + number,
            genres=[chosen.choice(["Drama", "Comedy", "Horror"])],
            directors=[f"Director {chosen.randrange(200)}"],
            release_date=date(chosen.randrange(1980, 2020), 1, 1),
            runtime=chosen.randrange(80, 150),
            summary=" ".join(["word"] * chosen.randrange(10, 60)),
        )
        | fields
        for number in range(count)
    ]


@pytest.fixture
def pipeline(workspace: Path) -> Path:
    """A workspace with 1,200 training movies, 400 validation movies, thresholds and the predictions of a test split."""
    write_params(read_params())
    movies = films(1_600, seed=1)
    parquet.write_table(CLEAN, pa.Table.from_pylist(movies, MOVIE))
    sides = ["train"] * 1_200 + ["validation"] * 400
    rows = [{"id": found["id"], "split": side} for found, side in zip(movies, sides, strict=True)]
    parquet.write_table(SPLITS, pa.Table.from_pylist(rows, SPLIT_OF))
    storage.write_json(THRESHOLDS, {"low": 5.0, "high": 7.0})
    write(predicted(1.0))  # a third of the answers are of each class
    return workspace


def monitored(*arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and the content of monitor.json."""
    code = monitor.main(list(arguments))
    return code, json.loads(Path("data/monitor/monitor.json").read_text())


def table(movies: Rows) -> str:
    parquet.write_table("new.parquet", pa.Table.from_pylist(movies, MOVIE))
    return "new.parquet"


def levels(found: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {(one["kind"], one["name"]): one["level"] for one in found["drifts"]}


def test_other_movies_of_the_same_kind_are_no_alarm(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = monitored("--table", table(films(300, seed=2)))
    assert (code, found["alarms"], found["movies"]) == (0, [], 300)
    assert set(levels(found).values()) == {"stable"}
    assert ("content", "genres") in levels(found)
    assert ("content", "year") in levels(found)
    assert ("content", "directors") not in levels(found)  # 20 of 200 names are no distribution to compare
    assert ("unseen names", "directors") in levels(found)
    assert capsys.readouterr().out.startswith("monitor: 300 movies, 0 alarms")


@pytest.mark.parametrize(
    ("fields", "alarm"),
    [
        ({"release_date": date(2024, 1, 1)}, "content of year"),
        ({"genres": ["Western"]}, "content of genres"),
        ({"genres": ["Western"]}, "unseen names of genres"),
        ({"directors": ["Newcomer"]}, "unseen names of directors"),
        ({"summary": None}, "unknown of summary"),
        ({"runtime": None}, "unknown of runtime"),
        ({"summary": "word " * 200}, "content of summary"),
    ],
)
def test_what_has_moved_is_an_alarm_and_exit_code_3(
    pipeline: Path, fields: dict[str, Any], alarm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = monitored("--table", table(films(300, seed=2, **fields)))
    assert code == 3
    assert alarm in found["alarms"]
    assert len(found["alarms"]) <= 2
    assert f"monitor: alarm: {alarm}\n" in capsys.readouterr().err


def test_the_three_files_say_the_same(pipeline: Path) -> None:
    _, found = monitored("--table", table(films(300, seed=2, genres=["<b>Western"])))
    page = Path("data/monitor/monitor.html").read_text()
    assert "; ".join(found["alarms"]) in page
    assert "<b>Western" not in page
    assert "&lt;b&gt;Western" not in page  # a new name is no bin of its own
    gauges = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(Path("data/monitor/monitor.prom").read_text())
        for sample in family.samples
    }
    for one in found["drifts"]:
        index = gauges["movie_ratings_monitor_stability_index", one["kind"], one["name"]]
        assert index == pytest.approx(one["index"], abs=1e-5)
        assert gauges["movie_ratings_monitor_drift_alarm", one["kind"], one["name"]] == (one["level"] == "alarm")
    assert gauges["movie_ratings_monitor_alarms",] == len(found["alarms"])
    assert gauges["movie_ratings_monitor_movies",] == 300
    assert gauges["movie_ratings_monitor_unknown_share", "summary"] == 0
    assert time.time() - 600 < gauges["movie_ratings_monitor_time_seconds",] <= time.time()


def log(
    movies: Rows, labels: Callable[[int], str], texts: bool = True, age: float = 0.0, right: float | None = None
) -> None:
    """A log of the movies; with ``right``, the true rating of this share of them lies in the interval."""
    rows, feedback = [], []
    for number, found in enumerate(movies):
        content = records.content(found)
        label = labels(number)
        rating = {"bad": 4.0, "average": 6.0, "good": 8.0}[label]
        row = dict.fromkeys(PREDICTION.names) | {
            "time": round(1000 * (time.time() - age)),
            "id": records.new_id(KEY),
            "model_version": "abc",
            "known": list(content),
            "input_hash": records.input_hash(json.dumps(content), KEY),
            "label": label,
            "movie": json.dumps(content) if texts else None,
            "predicted_rating": rating,
            "predicted_rating_low": rating - 0.5,
            "predicted_rating_high": rating + 0.5,
        }
        rows.append(row | {f"probability_{name}": 0.8 if name == label else 0.1 for name in CLASSES})
        if right is not None:
            true = rating if number % 100 < 100 * right else (rating + 3) % 10
            feedback += [{"time": 1, "id": row["id"], "rating": r, "label": None} for r in (1.0, true)]
    feedback.append({"time": 1, "id": "of a removed part", "rating": None, "label": "bad"})
    folder = Path("log")
    folder.mkdir(exist_ok=True)
    for kind, some in (("predictions", rows), ("feedback", feedback)):
        written = parts.Parts(folder, kind, 100 << 20)
        written.append(some[::2])
        written.rotate()
        written.append(some[1::2])  # lines that no part has yet


def evenly(number: int) -> str:
    return CLASSES[number % 3]


def test_a_log_is_compared_with_the_training_movies(pipeline: Path) -> None:
    log(films(300, seed=2), evenly)
    code, found = monitored("--log", "log")
    assert (code, found["alarms"], found["movies"]) == (0, [], 300)
    assert found["model_versions"] == {"abc": 300}
    assert ("answers", "label") in levels(found)
    assert ("content", "year") in levels(found)
    assert found["truth"]["labels"] == 0
    assert ["are needed" in note for note in found["notes"]] == [True]


def test_a_log_without_texts_shows_missing_fields_and_answers(pipeline: Path) -> None:
    log(films(300, seed=2, runtime=None), lambda number: "good", texts=False)
    code, found = monitored("--log", "log")
    assert code == 3
    assert set(found["alarms"]) == {"unknown of runtime", "answers of label"}
    assert {kind for kind, _ in levels(found)} == {"unknown", "answers"}
    assert "the log has no texts" in found["notes"][0]


def test_a_movie_that_is_predicted_again_and_again_counts_once(pipeline: Path) -> None:
    log(films(300, seed=2) + films(1, seed=3, genres=["Horror"], release_date=date(1990, 1, 1)) * 900, evenly)
    code, found = monitored("--log", "log")
    assert (code, found["movies"]) == (0, 301)


def test_old_predictions_are_left_out(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log(films(100, seed=2), evenly, age=3 * 86_400)
    assert monitored("--log", "log")[1]["movies"] == 100
    assert monitor.main(["--log", "log", "--days", "2"]) == 2
    assert "error: log: 0 different movies, and a comparison needs 30" in capsys.readouterr().err


def test_the_last_true_ratings_are_compared_with_the_predictions(pipeline: Path) -> None:
    log(films(300, seed=2), evenly, right=0.8)
    code, found = monitored("--log", "log")
    assert (code, found["alarms"]) == (0, [])
    assert (found["truth"]["labels"], found["truth"]["ratings"]) == (300, 300)
    assert found["truth"]["coverage"] == pytest.approx(0.8)
    assert found["truth"]["calibration_error"] == pytest.approx(0, abs=0.03)


def test_predictions_that_are_less_right_than_they_say_are_an_alarm(pipeline: Path) -> None:
    log(films(300, seed=2), evenly, right=0.5)
    code, found = monitored("--log", "log")
    assert (code, found["alarms"]) == (3, ["calibration", "coverage"])


def test_labels_without_ratings_are_judged_without_intervals() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 200)
    answers = Answers(labels, labels, np.full((200, 3), 1 / 3))
    nothing = Answers(labels[:0], labels[:0], np.zeros((0, 3)), Ratings(np.zeros(0), np.zeros(0), np.zeros((0, 2))))
    found = judged(answers, nothing, 0)
    assert found.balanced_accuracy == 1
    assert found.coverage is None
    assert found.alarms == []


def test_a_log_of_labels_and_of_ratings_uses_the_thresholds(pipeline: Path) -> None:
    assert class_indices(np.array([4.9, 5.0, 7.1]), Thresholds(5.0, 7.0)).tolist() == [0, 1, 2]
    log(films(60, seed=2), evenly, right=1.0)
    _, found = monitored("--log", "log")
    assert found["truth"]["balanced_accuracy"] == 1


def test_an_index_is_that_of_the_formula() -> None:
    found = drift.compared("answers", "label", ("a", "b"), np.array([500, 500]), np.array([700, 300]))
    assert found is not None
    assert found.index == pytest.approx(0.2 * np.log(7 / 5) - 0.2 * np.log(3 / 5), abs=0.001)
    assert found.level == "moved"


def test_few_movies_are_no_drift_and_chance_is_rare() -> None:
    """Of movies drawn from the training movies themselves, an index exceeds its chance in one of a thousand cases."""
    generator = np.random.default_rng(0)
    shares = np.full(10, 0.1)
    indices = []
    for _ in range(2_000):
        sides = (generator.multinomial(rows, shares) for rows in (1_000, 60))
        found = drift.compared("content", "year", [str(n) for n in range(10)], *sides)
        assert found is not None
        indices.append((found.index, found.by_chance))
    assert np.mean([index > 0.25 for index, _ in indices]) > 0.02  # the threshold alone would not do
    assert np.mean([index > chance for index, chance in indices]) < 0.005
    assert drift.compared("content", "year", ("a", "b"), np.array([500, 500]), np.array([29, 0])) is None


def test_fewer_new_names_than_among_held_out_movies_are_no_drift() -> None:
    train = Summary.of(films(300, seed=1), ["directors"])
    held_out = Summary.of(films(300, seed=2, directors=["Newcomer"]), ["directors"])
    found = {one.kind: one for one in drift.of_movies(train, held_out, train)}
    assert found["unseen names"].index > 1
    assert found["unseen names"].level == "stable"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--log", "nowhere"], "nowhere: no such folder"),
        (["--table", "nowhere.csv"], "nowhere.csv"),
        (["--table", "empty.csv"], "empty.csv"),
        (["--table", "few.csv"], "few.csv: 1 different movies, and a comparison needs 30"),
        (["--table", "few.csv", "--days", "0"], "--days: more than 0, found 0"),
        (["--table", "few.csv", "--days", "nan"], "--days: more than 0, found nan"),
        (["--table", "few.csv", "--output", "few.csv"], "--output few.csv: a file of this name exists"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    pipeline: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("empty.csv").touch()
    Path("few.csv").write_text("title,summary\nA,B\n")
    assert monitor.main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
    assert not Path("data/monitor").exists()


def test_without_the_pipelines_outputs_the_message_says_how_to_get_them(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_params(read_params())
    Path("few.csv").write_text("title,summary\nA,B\n")
    assert monitor.main(["--table", "few.csv"]) == 2
    assert "dvc repro" in capsys.readouterr().err


def test_without_predictions_of_the_test_split_answers_are_not_compared(pipeline: Path) -> None:
    Path(PREDICTIONS).unlink()
    log(films(100, seed=2), evenly)
    _, found = monitored("--log", "log")
    assert ("answers", "label") not in levels(found)
    assert any("the mix of answers is not compared" in note for note in found["notes"])
