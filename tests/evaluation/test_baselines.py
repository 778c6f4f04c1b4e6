"""The baselines, on movies without the facts that a table of the user's own may not have."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from movie_ratings.core.arrays import Floats
from movie_ratings.core.errors import UserError
from movie_ratings.evaluation import baselines
from movie_ratings.movies.labels import Thresholds
from movie_ratings.movies.text import FIELDS
from movie_ratings.params import BaselineName, Params
from tests.support.builders import labelled, learnable, movie

# Pairs of words of which neither tells the class alone; as one name, each tells it.
PEOPLE = ("Ann Lee", "Ann Roy", "Bob Lee")
WORDS = ("dull", "plain", "radiant")


def planted(fields: Sequence[str], records: Floats | None = None, **columns: Sequence[Any]) -> baselines.BaselineData:
    """Movies of every class in turn: 90 to train on, 30 to choose on, 30 to answer; each column repeats its values.

    Nothing but ``columns`` and ``records`` (movies, features) tells the class.
    """
    found = [
        movie(n, vote_average=4.0 + 2 * (n % 3), **{name: values[n % len(values)] for name, values in columns.items()})
        for n in range(150)
    ]
    movies = labelled(found).to_pylist()
    return baselines.BaselineData(
        movies[:90],
        movies[90:120],
        movies[120:],
        fields,
        Thresholds(5.0, 7.0),
        lambda: (np.eye(90, 2), np.eye(30, 2), np.eye(30, 2)),
        None if records is None else lambda: (records[:90], records[90:120], records[120:]),
    )


def accuracy(name: BaselineName, data: baselines.BaselineData, options: Params) -> float:
    """The share of the test movies that the baseline answers correctly."""
    with threadpool_limits(1, "openmp"):  # scikit-learn's threads wait for each other, for a minute on a busy machine
        answers = baselines.fit(name, data, options).answers
    return float((answers.predicted == answers.labels).mean())


@pytest.mark.parametrize(
    "name",
    ["majority", "genre_year", "tfidf_logreg", "tfidf_ridge", "embeddings_logreg", "embeddings_boosting", "catboost"],
)
def test_no_movie_needs_a_year_or_a_runtime(options: Callable[..., Params], name: BaselineName) -> None:
    movies = labelled([movie | {"runtime": None} for movie in learnable(90)]).to_pylist()
    parts = movies[:50], movies[50:70], movies[70:]
    vectors = np.random.default_rng(0).random((90, 8))
    data = baselines.BaselineData(
        *parts, FIELDS, Thresholds(5.0, 7.0), lambda: (vectors[:50], vectors[50:70], vectors[70:])
    )
    found = baselines.fit(name, data, options())
    assert found.answers.predicted.shape == found.answers.labels.shape == (20,)
    assert np.allclose(found.answers.probabilities.sum(axis=1), 1)


def test_answers_are_the_same_to_the_last_bit_with_any_number_of_threads(options: Callable[..., Params]) -> None:
    generator = np.random.default_rng(0)
    texts = generator.integers(5_000, size=(900, 60))  # so many words that linear algebra shares its sums out
    movies = labelled(
        [
            movie | {"summary": " ".join(f"word{n}" for n in text)}
            for movie, text in zip(learnable(900), texts, strict=True)
        ]
    ).to_pylist()
    data = baselines.BaselineData(
        movies[:600],
        movies[600:750],
        movies[750:],
        FIELDS,
        Thresholds(5.0, 7.0),
        lambda: pytest.fail("reads no embeddings"),
    )
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(baselines.fit("tfidf_logreg", data, options()).answers.probabilities.tobytes())
    assert found[0] == found[1]


def test_catboost_learns_from_a_word_of_the_summary(options: Callable[..., Params]) -> None:
    data = planted(["title", "summary"], summary=[f"A {word.upper()}, long day." for word in WORDS])
    assert accuracy("catboost", data, options()) == 1


@pytest.mark.parametrize("field", ["directors", "composers", "companies", "genres"])
def test_catboost_learns_from_a_name(options: Callable[..., Params], field: str) -> None:
    columns: dict[str, Any] = {field: [[name] for name in PEOPLE]}
    data = planted(["title", field], **columns)
    assert accuracy("catboost", data, options()) == 1


def test_catboost_learns_from_a_number(options: Callable[..., Params]) -> None:
    assert accuracy("catboost", planted(["title", "runtime"], runtime=[80, 100, None]), options()) == 1


@pytest.mark.parametrize("name", ["catboost", "embeddings_boosting"])
def test_boosted_trees_learn_from_a_record(options: Callable[..., Params], name: BaselineName) -> None:
    nobody = np.full(150, np.nan)  # a feature that no movie has
    records = np.column_stack([nobody, np.resize([4.0, np.nan, 8.0], 150)])
    assert accuracy(name, planted(["title", "summary"], records), options()) == 1


def test_catboost_reads_only_the_fields_of_the_model(options: Callable[..., Params]) -> None:
    data = planted(["title", "summary"], summary=["Day."], directors=[[name] for name in PEOPLE], runtime=[80, 90, 99])
    found = baselines.fit("catboost", data, options())
    assert np.allclose(found.answers.probabilities, 1 / 3, atol=0.01)


def test_catboost_answers_the_class_shares_where_the_movies_tell_nothing(options: Callable[..., Params]) -> None:
    data = planted(["title", "directors", "summary", "year"], title=["Film"], summary=["Day."])
    found = baselines.fit("catboost", data, options())
    assert np.allclose(found.answers.probabilities, data.shares(), atol=0.01)


def test_catboost_answers_the_same_bytes_again(options: Callable[..., Params]) -> None:
    generator = np.random.default_rng(0)
    plots = [" ".join(f"word{n}" for n in text) for text in generator.integers(12, size=(150, 4))]
    data = planted(["title", "genres", "summary"], generator.random((150, 2)), summary=plots)
    first, second = (baselines.fit("catboost", data, options()).answers.probabilities.tobytes() for _ in range(2))
    assert first == second


def test_without_its_package_catboost_says_how_to_install_it(
    options: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "catboost", None)  # Python then imports it as if it were not there
    with pytest.raises(UserError, match=r"^baseline catboost: .*pip install -r requirements-dev.txt$"):
        baselines.fit("catboost", planted(["title", "summary"]), options())
