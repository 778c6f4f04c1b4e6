"""The baselines, on movies without the facts that a table of the user's own may not have."""

from collections.abc import Callable

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from movie_ratings.evaluation import baselines
from movie_ratings.movies.labels import Thresholds
from movie_ratings.movies.text import FIELDS
from movie_ratings.params import BaselineName, Params
from tests.support.builders import labelled, learnable


@pytest.mark.parametrize(
    "name", ["majority", "genre_year", "tfidf_logreg", "tfidf_ridge", "embeddings_logreg", "embeddings_boosting"]
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
