"""What the report says beyond the headline: slices, behaviour, the noise ceiling, and a page that anybody can open."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from movie_ratings.evaluation.behaviour import CHANGES, flips
from movie_ratings.evaluation.ceiling import noise_ceiling
from movie_ratings.evaluation.slices import FEWEST, keys, slices
from movie_ratings.movies.labels import Thresholds
from movie_ratings.prediction.classifier import Classifier
from tests.support.builders import learnable

THRESHOLDS = Thresholds(5.0, 7.0)


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
    found = {(row["slice"], row["value"]): row for row in slices(movies, labels, predicted, 100, 0)}
    assert found["genre", "Drama"]["balanced_accuracy"] == 1.0
    assert not found["genre", "Drama"]["worse_than_chance"]
    assert found["genre", "Western"]["worse_than_chance"]
    assert found["words of the summary", "below 30"]["rows"] == len(labels)
    few = slices(movies[: FEWEST - 1], labels[: FEWEST - 1], labels[: FEWEST - 1], 100, 0)
    assert few == []


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
    found = flips(classifier, movies, classifier.answer(movies)[1], 0)
    assert found["the genres in the opposite order"] == 0.0
    assert found["no summary"] > 0.2
