"""The linear part: its weights in plain Python answer as the library's model that they came from."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from movie_ratings.core.errors import UserError
from movie_ratings.model import linear
from movie_ratings.model.linear import LinearModel, LinearPart, indicators, rating_logits
from movie_ratings.model.track_records import years_of
from movie_ratings.movies.labels import Thresholds
from movie_ratings.movies.record import OUTSIDE, WITH_YEAR
from movie_ratings.movies.rows import Movies, evenly_spaced
from movie_ratings.movies.text import PLOT
from movie_ratings.params import Linear
from movie_ratings.training.data import drop_fields
from movie_ratings.training.ridge import WORD_SCALE, LinearData, Rated, Reads, fit_linear, fit_part
from tests.support.builders import learnable

THRESHOLDS = Thresholds(5.0, 7.0)
READ = ("title", "genres", "year", "runtime", "spoken_languages", "directors", "cast", "summary")
OPTIONS = Linear(use=True, names=[], records=False, max_films=1_000, alphas=[0.01, 100.0], min_movies=2, max_rows=1_000)
WITH_RECORDS = OPTIONS.model_copy(update={"records": True})


def rated(movies: list[dict[str, Any]]) -> Rated:
    table = pa.Table.from_pylist(movies, WITH_YEAR)
    return Rated(Movies(table), table["vote_average"].to_numpy(), np.ones(len(movies)))


def data(train: Rated, validation: Rated, dropped: Movies | None = None, outside: Any = ()) -> LinearData:
    films = pa.Table.from_pylist(list(outside), OUTSIDE)
    return LinearData(train, dropped or train.movies[:0], validation, films, THRESHOLDS)


def fit(movies: list[dict[str, Any]], fields: tuple[str, ...] = READ, names: tuple[str, ...] = ()) -> LinearModel:
    model, alpha = fit_linear(rated(movies), rated(movies[:50]), Reads(fields, names), THRESHOLDS, OPTIONS)
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
    found = set(indicators(whole, READ))
    assert {"genres=Drama", "Crime & Drama", "year>1992", "Crime year>1990", "runtime>140", "cast=A B"} <= found
    assert "year>1996" not in found
    assert set(indicators({"title": "A", "genres": ["NonGiven"]}, READ)) == set()
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
    part, alphas = fit_part(data(rated(movies), rated(movies[:50])), Reads(READ), OPTIONS)
    assert alphas.keys() == {"facts", "plot"}
    assert part.plot.fields == PLOT
    bare = learnable(100)
    found = part.logits([movies[0], bare[1], movies[2]])
    assert np.allclose(found[[0, 2]], part.facts.logits([movies[0], movies[2]]))
    assert np.allclose(found[1], part.plot.logits([bare[1]])[0])
    alone, _ = fit_part(data(rated(bare), rated(bare[:50])), Reads(PLOT), OPTIONS)
    assert alone.facts == alone.plot


def test_of_many_movies_it_looks_at_some_that_stand_all_over_the_table() -> None:
    movies = [movie | {"runtime": 90, "directors": [f"Director {n}"]} for n, movie in enumerate(learnable(200))]
    train, validation = rated(movies), rated(movies[:50])
    dropped = drop_fields(train.movies, READ, 0)
    few = OPTIONS.model_copy(update={"alphas": [0.01], "min_movies": 1, "max_rows": 20})
    part, _ = fit_part(data(train, validation, dropped), Reads(READ), few)
    known = [name for name in part.facts.indicators if name.startswith("directors=")]
    assert sorted(known) == sorted(f"directors=Director {row}" for row in evenly_spaced(200, 20))
    part, _ = fit_part(data(train, validation), Reads(READ), few)
    assert len([name for name in part.facts.indicators if name.startswith("directors=")]) == 20


def test_the_names_of_a_movie_weigh_by_who_they_are_and_not_by_how_many_they_are() -> None:
    movies = []
    for n, movie in enumerate(learnable(120)):
        good = bool(n % 2)
        writers = [f"Good {n % 3}"] if good else ["Bad"]
        movies.append(movie | {"summary": "One.", "vote_average": 8.0 if good else 5.0, "writers": writers})
    model = fit(movies, PLOT, ("writers", "producers"))
    asked = [{"title": "A", "writers": names} for names in (["Good 1"], ["Bad"], [], ["A Stranger"])]
    good, bad, nobody, stranger = model.ratings(asked)
    assert good > nobody > bad
    assert nobody == stranger
    # The mean of their weights counts.
    assert model.credits.keys() == {"writers=Bad", "writers=Good 0", "writers=Good 1", "writers=Good 2"}
    alike = replace(model, credits=dict.fromkeys(model.credits, 1.0))
    several = alike.ratings([{"writers": ["Good 0", "Good 1"]}, {"writers": ["Good 0"]}]) - alike.ratings([{}, {}])
    assert several == pytest.approx([1.0, 1.0])


def test_a_track_record_predicts_from_the_films_before_alone() -> None:
    """A director's films are all good or all bad; the model is asked about directors of whom it has seen no film."""
    movies = []
    for n, movie in enumerate(learnable(400)):
        rating = (8.0 if n % 2 else 4.0) + n % 5 / 10
        facts = {"year": 1990 + n // 40, "runtime": 90, "directors": [f"Director {n % 40}"]}
        movies.append(movie | facts | {"summary": "One.", "vote_average": rating})
    outside = [
        {"source": "critics", "title": f"Debut {who}", "year": 2005, "directors": [who], "rating": rating}
        for who, rating in (("Ada Great", 9.0), ("Bo Poor", 2.0), ("Cy Middling", 5.5))
    ]
    reads = Reads(("title", "genres", "year", "runtime", "summary"))
    part, _ = fit_part(data(rated(movies), rated(movies[:50]), outside=outside), reads, WITH_RECORDS)
    assert part.records is not None

    def rating_of(who: str, year: int) -> float:
        asked = {"title": "A", "year": year, "runtime": 90, "directors": [who]}
        return float(part.facts.ratings([asked], part.records)[0])

    assert rating_of("ADA GREÁT", 2010) > rating_of("Nobody", 2010) + 0.1
    assert rating_of("Bo Poor", 2010) < rating_of("Nobody", 2010) - 0.1
    assert rating_of("Ada Great", 2005) == pytest.approx(rating_of("Bo Poor", 2005))  # of the year of their only film
    # Without a year, a movie is read as of today.
    assert part.records.features([{"directors": ["Ada Great"]}], years_of([{}]))[0, 0] > 0


def test_with_track_records_it_comes_back_from_its_files(tmp_path: Path) -> None:
    movies = [
        movie | {"year": 1990 + n % 9, "runtime": 90, "directors": [f"D {n % 7}"], "cast": ["A"]}
        for n, movie in enumerate(learnable(100))
    ]
    part, _ = fit_part(data(rated(movies), rated(movies[:50])), Reads(READ, ("writers",)), WITH_RECORDS)
    linear.write(tmp_path, part)
    assert np.array_equal(linear.read(tmp_path).logits(movies), part.logits(movies))
    path = tmp_path / "track_records.npy"
    whole = path.read_bytes()
    for broken in (b"", whole[:-5], b"PK" + whole[2:], whole.replace(b"'<u8'", b"'<f8'")):
        path.write_bytes(broken)
        with pytest.raises(UserError, match=r"track_records\.npy: not track records"):
            linear.read(tmp_path)


def described_movies() -> list[dict[str, Any]]:
    """Movies with facts, names and people who have made several films."""
    return [
        movie
        | {"year": 1990 + n % 25, "runtime": 80 + n % 50, "directors": [f"D {n % 7}"], "cast": ["A", f"C {n % 5}"]}
        | {"spoken_languages": ["English", "Français"][: 1 + n % 2], "genres": ["Drama", "Crime"][: 1 + n % 2]}
        | {"writers": [f"W {n % 6}", f"W {n % 4}"]}
        for n, movie in enumerate(learnable(100))
    ]


def test_the_contributions_of_a_movie_add_up_to_its_rating() -> None:
    movies = described_movies()
    part, _ = fit_part(data(rated(movies), rated(movies[:50])), Reads(READ, ("writers",)), WITH_RECORDS)
    assert part.records is not None
    assert any(part.facts.records)
    tried: list[dict[str, Any]] = [
        *movies[:20],
        {"title": "A"},
        {"title": "A a a film film", "genres": ["Drama", "Drama"], "year": 1900},
        movies[0] | {"writers": []},
    ]
    for movie in tried:
        for model in (part.facts, part.plot):
            (rating,) = model.ratings([movie], part.records)
            assert model.contributions(movie, part.records).rating == pytest.approx(rating, abs=1e-12)
    found = part.contributions(movies[3])
    largest, rest = found.strongest(3)
    assert found.intercept + sum(each.points for each in largest) + rest == pytest.approx(found.rating)
    assert min(abs(each.points) for each in largest) >= max(
        abs(each.points) for each in found.each if each not in largest
    )


def test_a_movie_without_its_facts_has_the_contributions_of_the_model_of_plots() -> None:
    movies = described_movies()
    part, _ = fit_part(data(rated(movies), rated(movies[:50])), Reads(READ, ("writers",)), WITH_RECORDS)
    bare = {name: movies[0][name] for name in PLOT}
    assert part.contributions(movies[0]).intercept == part.facts.intercept
    assert part.contributions(bare) == part.plot.contributions(bare)
    # A variant of a movie with facts is predicted with the weights of that movie, whatever is left out.
    with np.errstate(over="ignore"):  # the ratings can be learnt so well here that their scale is tiny
        assert np.array_equal(part.logits([bare], as_known=True), part.facts.logits([bare], part.records))


def test_contributions_name_facts_as_people_do() -> None:
    movies = described_movies()
    part, _ = fit_part(data(rated(movies), rated(movies[:50])), Reads(READ, ("writers",)), WITH_RECORDS)
    movie = movies[3] | {"year": 2004, "runtime": 101}
    names = [each.name for each in part.contributions(movie).each]
    assert {"genres: Drama", "genres: Crime & Drama", "directors: D 3", "writers: W 3"} <= set(names)
    assert {"words: masterful", "words: radiant tender", "spoken_languages: English first"} & set(names)
    assert "earlier films of the directors" in names
    # The many indicators of a number are one contribution.
    numbers = [name for name in names if name.startswith(("year", "runtime"))]
    assert numbers == ["year: 2001 to 2004", "runtime: 101 to 105 minutes"]
    early = replace(part.facts, indicators={"known=year": 1.0, "known=runtime": 1.0})
    of_early = early.contributions({"title": "A", "year": 1930, "runtime": 20}).each
    assert {each.name for each in of_early} >= {"year: up to 1930", "runtime: up to 60 minutes"}
    late = replace(early, fields=("year", "budget"), indicators={"known=year": 1.0, "known=budget": 1.0})
    of_late = late.contributions({"title": "A", "year": 2100, "budget": 5_000_000}).each
    assert [each.name for each in of_late] == ["year: above 2096", "budget: 1,000,001 to 5,000,000 dollars"]
    weights = replace(part.facts, indicators={"year>2000": 1.0, "Drama year>2000": 0.5, "year>1996": 0.25})
    (year,) = [each for each in weights.contributions(movie).each if each.field == "year"]
    assert year.points == 1.75
