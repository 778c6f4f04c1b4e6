"""Evaluation: slices, behavioural tests, the noise ceiling, wrong predictions and rounding."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from movie_ratings.core.csv_files import write_csv
from movie_ratings.core.errors import UserError
from movie_ratings.core.rounding import rounded
from movie_ratings.evaluation import scoring
from movie_ratings.evaluation.behaviour import CHANGES, changed_predictions
from movie_ratings.evaluation.ceiling import noise_ceiling
from movie_ratings.evaluation.comparables import usefulness
from movie_ratings.evaluation.mistakes import confident_mistakes
from movie_ratings.evaluation.scoring import BaselineAnswers, Predictions
from movie_ratings.evaluation.slices import FEWEST, interval_slices, keys, slices
from movie_ratings.model.answers import Answers, Ratings
from movie_ratings.movies.labels import Thresholds
from movie_ratings.params import Evaluate
from movie_ratings.prediction.classifier import Classifier
from tests.support.builders import learnable

THRESHOLDS = Thresholds(5.0, 7.0)
OPTIONS = Evaluate(bootstrap=100, seed=0)


def answers(labels: np.ndarray, predicted: np.ndarray) -> Answers:
    """Predictions with probability 1 for the predicted class; the ratings of neighbouring classes differ by 2."""
    true, found = 4.0 + 2 * labels, 4.0 + 2 * predicted
    return Answers(
        labels, predicted, np.eye(3)[predicted], Ratings(true, found, np.stack([found - 1, found + 1], axis=1))
    )


def rated(true: np.ndarray, votes: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Means of votes that vary by a standard deviation of 2 around the true ratings."""
    return np.clip(true + 2 / np.sqrt(votes) * generator.standard_normal(len(true)), 0, 10)


def test_the_ceiling_is_what_an_oracle_gets() -> None:
    generator = np.random.default_rng(0)
    true = 6 + generator.standard_normal(20_000)
    votes = np.exp(generator.uniform(np.log(5), np.log(5_000), 20_000)).round()
    ratings = rated(true, votes, generator)
    found = noise_ceiling(ratings, votes, THRESHOLDS, 0)
    assert found["vote_variance"] == pytest.approx(4, rel=0.25)

    def classes(values: np.ndarray) -> np.ndarray:
        return (values >= 5).astype(int) + (values > 7)

    recall = np.mean([(classes(true)[classes(ratings) == k] == k).mean() for k in range(3)])
    assert found["balanced_accuracy"] == pytest.approx(recall, abs=0.02)


def test_many_votes_leave_no_ceiling_and_none_no_estimate() -> None:
    generator = np.random.default_rng(0)
    true = 6 + generator.standard_normal(5_000)
    many = np.exp(generator.uniform(np.log(1e4), np.log(1e6), 5_000)).round()
    assert noise_ceiling(rated(true, many, generator), many, THRESHOLDS, 0)["balanced_accuracy"] > 0.97
    assert noise_ceiling(true, np.zeros(5_000), THRESHOLDS, 0)["balanced_accuracy"] is None


def test_a_slice_that_is_worse_than_chance_is_told_of() -> None:
    labels = np.tile([0, 1, 2], 2 * FEWEST)
    movies: list[dict[str, Any]] = [
        {"genres": ["Drama" if n < 3 * FEWEST else "Western"], "summary": "word " * 10} for n in range(len(labels))
    ]
    predicted = np.where(np.arange(len(labels)) < 3 * FEWEST, labels, (labels + 1) % 3)
    table = slices(movies, answers(labels, predicted), OPTIONS)
    found = {(row["slice"], row["value"]): row for row in table.to_dicts()}
    assert found["genre", "Drama"]["balanced_accuracy"] == 1.0
    assert not found["genre", "Drama"]["worse_than_chance"]
    assert found["genre", "Western"]["worse_than_chance"]
    assert found["words of the summary", "below 30"]["rows"] == len(labels)
    few = slices(movies[: FEWEST - 1], answers(labels[: FEWEST - 1], labels[: FEWEST - 1]), OPTIONS)
    assert few.is_empty()
    assert few.columns == table.columns


def test_the_slices_of_a_movie() -> None:
    movie = {
        "genres": ["Drama"],
        "year": 1994,
        "spoken_languages": ["English"],
        "vote_count": 150,
        "summary": "a " * 40,
    }
    assert keys(movie) == [
        ("genre", "Drama"), ("decade", "1990s"), ("language", "English alone"), ("votes", "100 to 1,000"),
        ("words of the summary", "30 to 60"),
    ]  # fmt: skip


def test_each_change_changes_what_it_says_and_nothing_else() -> None:
    movie = {"title": "Film", "summary": "A radiant vision of old", "genres": ["Drama", "Crime"]}
    changed = {name: change(movie, np.random.default_rng(0)) for name, change in CHANGES.items()}
    typo = changed["a typo in the summary"]["summary"]
    assert typo != movie["summary"]
    assert sorted(typo) == sorted(movie["summary"])
    assert changed["the genres in the opposite order"] == movie | {"genres": ["Crime", "Drama"]}
    assert changed["the title in capitals"] == movie | {"title": "FILM"}
    assert changed["no summary"] == movie | {"summary": ""}


def test_a_model_that_reads_the_summary_is_seen_to_need_it(served_model: Path) -> None:
    classifier, movies = Classifier.load(served_model), learnable(60)
    found = changed_predictions(classifier, movies, classifier.answer(movies)[1], 0)
    assert found["the genres in the opposite order"] == 0.0
    assert found["no summary"] > 0.2


def predictions(labels: np.ndarray, predicted: np.ndarray) -> Predictions:
    """The same predictions from every field and from title, genres and summary; uniform ones before calibration."""
    return Predictions(answers(labels, predicted), answers(labels, labels), np.full((len(labels), 3), 1 / 3))


def test_the_headline_is_taken_from_the_details() -> None:
    labels = np.tile([0, 1, 2], 40)
    predicted = np.where(np.arange(120) < 60, labels, (labels + 1) % 3)
    found = predictions(labels, predicted)
    majority = BaselineAnswers(np.ones_like(labels), np.full(len(labels), 6.0))
    details = scoring.details(found, {"majority": majority}, OPTIONS)
    headline = scoring.headline(found)
    assert headline.pop("plot") == {"balanced_accuracy": 1.0}
    assert headline == {name: details[name] for name in headline}
    assert details["balanced_accuracy"] == pytest.approx(0.5)
    assert details["confusion"] == [[20, 20, 0], [0, 20, 20], [20, 0, 20]]
    assert details["minus_baseline"]["majority"]["difference"]["balanced_accuracy"] == pytest.approx(0.5 - 1 / 3)
    assert details["before_calibration"]["log_loss"] == pytest.approx(np.log(3))
    assert details["plot"]["accuracy"] == 1.0
    # Half of the predictions are a class off, some of them two.
    assert details["mean_absolute_error"] == pytest.approx(20 / 120 * 2 + 20 / 120 * 2 + 20 / 120 * 4)
    assert details["interval_coverage"] == 0.5
    error = details["minus_baseline"]["majority"]["mean_absolute_error"]
    assert error["difference"] == pytest.approx(details["mean_absolute_error"] - 4 / 3)
    assert error["interval_95"][0] < error["difference"] < error["interval_95"][1]
    assert details["decisions"]["balanced"]["right"] == {"bad": 0.5, "average": 0.5, "good": 0.5}
    assert details["decisions"]["most_probable"] == details["decisions"]["balanced"]


def test_the_coverage_of_the_intervals_is_told_by_decade_and_votes() -> None:
    labels = np.ones(4 * FEWEST, dtype=int)
    years = np.where(np.arange(len(labels)) < FEWEST, 1985, 1995)
    movies = [{"year": int(year), "vote_count": 500} for year in years]
    old_ones_are_wrong = np.where(years < 1990, 2, 1)
    found = interval_slices(movies, {"facts": answers(labels, old_ones_are_wrong), "plot": answers(labels, labels)})
    coverage = {(r["given"], r["slice"], r["value"]): r["interval_coverage"] for r in found.to_dicts()}
    assert coverage == {
        ("facts", "all", ""): 0.75, ("facts", "decade", "1980s"): 0.0, ("facts", "decade", "1990s"): 1.0,
        ("facts", "votes", "100 to 1,000"): 0.75, ("plot", "all", ""): 1.0, ("plot", "decade", "1980s"): 1.0,
        ("plot", "decade", "1990s"): 1.0, ("plot", "votes", "100 to 1,000"): 1.0,
    }  # fmt: skip


def test_baselines_that_predicted_other_movies_are_refused() -> None:
    rows = {"model": ["a", "a"], "id": [1, 2], "label": ["bad"] * 2, "prediction": ["good", "bad"]}
    table = pa.table(rows | {"predicted_rating": [7.5, 4.5]})
    found = scoring.baseline_answers(table, [1, 2])["a"]
    assert found.classes.tolist() == [2, 0]
    assert found.ratings.tolist() == [7.5, 4.5]
    with pytest.raises(UserError, match="a predicted other movies than the test split"):
        scoring.baseline_answers(table, [1, 3])


def test_a_confident_mistake_stands_beside_the_most_similar_training_movie() -> None:
    train = [{"title": t, "summary": s, "genres": [], "rating": 5.0, "label": "bad"} for t, s in
             (("Sea", "a shark hunts swimmers"), ("Snow", "a skier is lost"))]  # fmt: skip
    movies = [m | {"title": f"{m['title']} 2", "summary": f"another {m['summary']}"} for m in train[::-1]] + [train[0]]
    probabilities = np.array([[0.2, 0.2, 0.6], [0.1, 0.1, 0.8], [0.9, 0.1, 0.0]])
    found = confident_mistakes(train, movies, Answers(np.zeros(3, int), np.array([2, 2, 0]), probabilities))
    assert (found["wrong"], found["of"]) == (2, 3)
    assert [(row["title"], row["nearest"]["title"]) for row in found["shown"]] == [("Sea 2", "Sea"), ("Snow 2", "Snow")]
    assert [row["probability"] for row in found["shown"]] == [0.8, 0.6]
    right = confident_mistakes(train, movies[2:], Answers(np.zeros(1, int), np.zeros(1, int), probabilities[2:]))
    assert right == {"wrong": 0, "of": 1, "shown": []}


def test_comparable_films_are_compared_with_films_at_random() -> None:
    subjects = ["shark", "letter", "ship", "ghost", "duel", "bride"]
    train = [
        {
            "title": f"{subject} {n}",
            "summary": f"the {subject}",
            "genres": [subject],
            "keywords": [subject],
            "rating": r,
        }
        for r, subject in enumerate(subjects)
        for n in range(20)
    ]
    movies = [{**movie, "title": "New"} for movie in train[::10]]
    found = usefulness(train, movies, 0)
    assert found["comparable"] == {
        "rating_distance": 0.0, "shared_genre": 1.0, "shared_person": 0.0, "shared_keyword": 1.0
    }  # fmt: skip
    assert found["random"]["shared_genre"] == pytest.approx(1 / 6, abs=0.1)
    assert (found["random"]["rating_distance"] or 0) > 0.5
    assert usefulness(train, [{"title": "New", "rating": 5.0}], 0)["comparable"]["shared_keyword"] is None


def test_rounding_reaches_every_float_and_nothing_else() -> None:
    found = rounded({"a": [1 / 3, -1e-9, 7], "b": ("x", None, True), "c": {"d": np.float64(2 / 3)}})
    assert found == {"a": [0.33333, 0.0, 7], "b": ["x", None, True], "c": {"d": 0.66667}}
    assert str(found["a"][1]) == "0.0"
    assert rounded(2 / 3, 4) == 0.6667


def test_a_table_is_written_with_rounded_floats(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", pl.DataFrame({"name": ["a, b"], "rows": [3], "share": [1 / 3], "low": [True]}))
    assert (tmp_path / "a.csv").read_text() == 'name,rows,share,low\n"a, b",3,0.33333,true\n'
    write_csv(tmp_path / "empty.csv", pl.DataFrame(schema={"a": pl.String, "b": pl.Float64}))
    assert (tmp_path / "empty.csv").read_text() == "a,b\n"
