"""The linear part: its weights in plain Python answer as the library's model that they came from."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from movie_ratings.core.errors import UserError
from movie_ratings.model import linear
from movie_ratings.model.linear import LinearModel, LinearPart, indicators, rating_logits
from movie_ratings.movies.labels import Thresholds
from movie_ratings.movies.record import WITH_YEAR
from movie_ratings.movies.rows import Movies, evenly_spaced
from movie_ratings.movies.text import FIELDS, PLOT
from movie_ratings.params import Linear
from movie_ratings.training.dataset import drop_fields
from movie_ratings.training.ridge import WORD_SCALE, Rated, fit_linear, fit_part
from tests.support.builders import learnable

THRESHOLDS = Thresholds(5.0, 7.0)
OPTIONS = Linear(use=True, alphas=[0.01, 100.0], min_movies=2, max_rows=1_000)


def rated(movies: list[dict[str, Any]]) -> Rated:
    table = pa.Table.from_pylist(movies, WITH_YEAR)
    return Rated(Movies(table), table["vote_average"].to_numpy(), np.ones(len(movies)))


def none() -> Movies:
    return Movies(pa.Table.from_pylist([], WITH_YEAR))


def fit(movies: list[dict[str, Any]], fields: tuple[str, ...] = FIELDS) -> LinearModel:
    model, alpha = fit_linear(rated(movies), rated(movies[:50]), fields, THRESHOLDS, OPTIONS)
    assert alpha == 0.01
    return model


def test_it_learns_what_words_and_facts_are_worth() -> None:
    movies = [movie | {"runtime": 80 + 20 * (n % 3)} for n, movie in enumerate(learnable(200))]
    ratings = np.array([movie["vote_average"] for movie in movies])
    model = fit(movies)
    assert np.abs(model.ratings(movies) - ratings).mean() < 0.2
    assert model.logits(movies).argmax(axis=1).tolist() == [0, 1, 1, 1, 2] * 40
    assert model.words["masterful"][1] > 0 > model.words["stale"][1]
    by_facts = fit([movie | {"vote_average": movie["runtime"] / 20, "summary": "One."} for movie in movies])
    assert by_facts.indicators["runtime>95"] > 0


def test_words_weigh_as_the_library_weighs_them() -> None:
    movies = learnable(100)
    model = fit(movies, ("title", "summary"))
    texts = [f"{movie['title']}. {movie['summary']}" for movie in movies]
    tfidf = TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2))
    values = tfidf.fit_transform(texts)
    weights = np.array([model.words[word][1] for word in tfidf.get_feature_names_out()])
    assert np.allclose(model.ratings(movies), model.intercept + values @ weights)
    assert WORD_SCALE > 1
    assert not model.indicators


def test_what_is_not_known_leaves_no_fact() -> None:
    whole = {"genres": ["Drama", "Crime"], "year": 1994, "runtime": 142, "cast": ["A B"]}
    found = set(indicators(whole, FIELDS))
    assert {"genres=Drama", "Crime & Drama", "year>1992", "Crime year>1990", "runtime>140", "cast=A B"} <= found
    assert "year>1996" not in found
    assert set(indicators({"title": "A", "genres": ["NonGiven"]}, FIELDS)) == set()
    assert all("year" not in fact for fact in indicators(whole, ("genres", "runtime")))


def test_a_rating_at_a_threshold_is_on_either_side_with_even_odds() -> None:
    probabilities = np.exp(rating_logits(np.array([5.0, 6.0, 7.0]), THRESHOLDS, 0.2))
    assert probabilities.sum(axis=1) == pytest.approx([1.0, 1.0, 1.0])
    assert probabilities[0, 0] == pytest.approx(0.5)
    assert probabilities[2, 2] == pytest.approx(0.5)
    assert probabilities[1].argmax() == 1


def test_it_comes_back_from_its_file_and_a_broken_file_is_named(tmp_path: Path) -> None:
    part = LinearPart(fit(learnable(100)), fit(learnable(100), ("title", "summary")))
    linear.write(tmp_path, part)
    assert linear.read(tmp_path) == part
    found = json.loads((tmp_path / "linear.json").read_text())
    del found["plot"]["spread"]
    (tmp_path / "linear.json").write_text(json.dumps(found))
    with pytest.raises(UserError, match=r"linear\.json: not a linear part"):
        linear.read(tmp_path)


def test_a_movie_without_its_facts_is_answered_by_the_model_of_plots() -> None:
    movies = [
        movie
        | {
            "year": 1990 + n % 20,
            "runtime": 90,
            "cast": ["A B"],
            "directors": ["C D"],
            "spoken_languages": ["E"],
        }
        for n, movie in enumerate(learnable(100))
    ]
    part, alphas = fit_part(rated(movies), none(), rated(movies[:50]), FIELDS, THRESHOLDS, OPTIONS)
    assert alphas.keys() == {"facts", "plot"}
    assert part.plot.fields == PLOT
    bare = learnable(100)
    found = part.logits([movies[0], bare[1], movies[2]])
    assert np.allclose(found[[0, 2]], part.facts.logits([movies[0], movies[2]]))
    assert np.allclose(found[1], part.plot.logits([bare[1]])[0])
    alone, _ = fit_part(rated(bare), none(), rated(bare[:50]), PLOT, THRESHOLDS, OPTIONS)
    assert alone.facts == alone.plot


def test_of_many_movies_it_looks_at_some_that_stand_all_over_the_table() -> None:
    movies = [movie | {"runtime": 90, "directors": [f"Director {n}"]} for n, movie in enumerate(learnable(200))]
    train, validation = rated(movies), rated(movies[:50])
    dropped = drop_fields(train.movies, FIELDS, 0)
    few = Linear(use=True, alphas=[0.01], min_movies=1, max_rows=20)
    part, _ = fit_part(train, dropped, validation, FIELDS, THRESHOLDS, few)
    known = [name for name in part.facts.indicators if name.startswith("directors=")]
    assert sorted(known) == sorted(f"directors=Director {row}" for row in evenly_spaced(200, 20))
    part, _ = fit_part(train, train.movies[:0], validation, FIELDS, THRESHOLDS, few)
    assert len([name for name in part.facts.indicators if name.startswith("directors=")]) == 20
