"""The audit: a fact that tells how much was written about a movie is found, and a fact that tells its rating is not."""

import json
import shutil
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import Ridge

from movie_ratings.core import parquet, storage
from movie_ratings.core.command import exit_code
from movie_ratings.core.errors import UserError
from movie_ratings.core.paths import AUDIT, CLEAN, OUTSIDE, SPLITS, THRESHOLDS
from movie_ratings.evaluation.audit import AuditData, audit, folds_of
from movie_ratings.evaluation.audit_parts import RECORDS, Encoder, number_in_record
from movie_ratings.movies import record
from movie_ratings.movies.labels import Thresholds
from movie_ratings.movies.rows import Movies
from movie_ratings.params import Linear
from movie_ratings.training.ridge import Rated, Reads, fit_linear
from stages.audit import audit_stage
from tests.support.builders import ROOT, movie

PEOPLE = [f"Person {n}" for n in range(40)]
PLOT = ("title", "genres", "summary")
Film = dict[str, Any]


def options(**changes: Any) -> Linear:
    values: dict[str, Any] = {
        "use": True,
        "names": [],
        "records": False,
        "max_films": 10_000,
        "alphas": [3.0, 5.0, 10.0],
    }
    return Linear.model_validate(values | {"min_movies": 2, "max_rows": 10_000} | changes)


def audited(movies: Sequence[Film], fields: Sequence[str], names: Sequence[str] = (), **changes: Any) -> dict[str, Any]:
    """The audit of invented movies, without films of other tables."""
    table = pa.Table.from_pylist([{**film, "rating": film["vote_average"]} for film in movies], record.LABELLED)
    data = AuditData(table, np.ones(len(movies)), record.OUTSIDE.empty_table(), Thresholds(5.0, 6.5))
    return audit(data, Reads((*PLOT, *fields), tuple(names)), options(**changes), seed=0)


def leaky(field: str, fewest: int, most: int, count: int = 300) -> list[Film]:
    """Movies with a list of random names, which is longer the better the movie is rated."""
    generator = np.random.default_rng(0)
    movies = []
    for n in range(count):
        listed = int(generator.integers(fewest, most + 1))
        rating = 4 + 3 * (listed - fewest) / (most - fewest) + 0.5 * generator.standard_normal()
        chosen = [str(name) for name in generator.choice(PEOPLE, listed, replace=False)]
        movies.append(movie(n, vote_average=float(rating), **{field: chosen}))
    return movies


@cache
def honest() -> list[Film]:
    """Movies that are better with some directors, in some genres, and if they are long."""
    generator = np.random.default_rng(1)
    movies = []
    for n in range(400):
        director, long = int(generator.integers(30)), bool(generator.integers(2))
        genre = str(generator.choice(["Drama", "Horror"]))
        rating = 5 + 1.5 * (director < 15) + 0.8 * long + 0.8 * (genre == "Drama") + 0.5 * generator.standard_normal()
        cast = [str(name) for name in generator.choice(PEOPLE, int(generator.integers(1, 6)), replace=False)]
        found = {"genres": [genre], "directors": [f"Director {director}"], "runtime": 130 if long else 80, "cast": cast}
        movies.append(movie(n, vote_average=rating, year=2000 + n % 10, **found))
    return movies


@pytest.mark.parametrize("field", ["cast", "spoken_languages", "genres"])
def test_the_number_of_names_is_found_in_the_indicators(field: str) -> None:
    found = audited(leaky(field, 1, 4), () if field == "genres" else (field,))
    assert found["flagged"] == [field]
    assert found["facts"][field]["flagged"] == ["count", "shuffled"]
    assert found["facts"][field]["count"]["gain"] > 0.5
    assert len(found["warnings"]) == 2
    assert found["warnings"][0].startswith(f"{field}: the number of its names, or whether it is known, predicts")


def test_a_number_beyond_the_names_that_are_read_is_hidden_but_the_table_has_it() -> None:
    found = audited(leaky("writers", 3, 8), (), ("writers",))  # three writers are read
    assert found["flagged"] == []
    writers = found["facts"]["writers"]
    assert writers["number_in_record"]["gain"] > 0.5
    assert writers["number_in_record"]["interval_95"][0] > 0


def test_anonymous_names_are_nothing_to_the_block() -> None:
    writers = audited(leaky("writers", 1, 3), (), ("writers",))["facts"]["writers"]
    assert {**writers["left_out"], "gain": 0, "interval_95": [0, 0]} == writers["count"]


def test_a_number_of_names_is_hidden_by_the_block_but_whether_there_are_any_is_found() -> None:
    found = audited(leaky("writers", 1, 3), (), ("writers",))
    assert found["facts"]["writers"]["flagged"] == []
    assert found["facts"]["writers"]["number_in_record"]["gain"] > 0.5
    films = leaky("cast", 1, 3)
    some = [film | {"writers": film["cast"][:1] if film["vote_average"] > 6 else []} for film in films]
    assert audited(some, (), ("writers",))["flagged"] == ["writers"]


def test_the_fields_of_the_block_are_audited_together_too() -> None:
    """What each of them tells alone may be too little to be seen."""
    films = leaky("cast", 1, 3)
    some = [
        film
        | {field: [name] if film["vote_average"] > 6 else [] for field, name in (("writers", "A"), ("editors", "B"))}
        for film in films
    ]
    found = audited(some, (), ("writers", "editors"))
    assert list(found["facts"]) == ["genres", "writers", "editors", "all names"]
    assert "all names" in found["flagged"]


def test_facts_that_tell_the_rating_are_worth_something_and_are_not_flagged() -> None:
    found = audited(honest(), ("directors", "runtime"), ("cast",))
    assert list(found["facts"]) == ["genres", "directors", "runtime", "cast"]
    assert found["flagged"] == found["warnings"] == []
    for fact in ("genres", "directors", "runtime"):
        assert found["facts"][fact]["worth"] > 0.05
        assert found["facts"][fact]["interval_95"][0] > 0
        assert found["facts"][fact]["left_out"]["log_loss"] > found["whole"]["log_loss"]
        assert found["facts"][fact]["left_out"]["r2"] == pytest.approx(
            found["whole"]["r2"] - found["facts"][fact]["worth"]
        )
    assert found["facts"]["cast"]["worth"] < 0.05
    assert "number_in_record" not in found["facts"]["runtime"]


def test_whether_a_number_is_known_is_found() -> None:
    movies = [film | {"runtime": 100 if film["vote_average"] > 6.5 else None} for film in honest()]
    found = audited(movies, ("runtime",))
    assert found["facts"]["runtime"]["flagged"] == ["count", "shuffled"]


def test_a_track_record_is_worth_something_and_is_not_flagged() -> None:
    found = audited(honest(), (), records=True)
    assert list(found["facts"]) == ["genres", RECORDS]
    assert found["flagged"] == []
    assert found["facts"][RECORDS]["worth"] > 0.1
    assert found["facts"][RECORDS]["count"]["gain"] == 0


def test_a_late_field_has_a_warning() -> None:
    found = audited([film | {"budget": 1_000_000} for film in honest()[:100]], ("budget",), ("keywords",))
    assert found["late"] == ["budget", "keywords"]
    assert found["warnings"][-1] == "keywords is written partly after a movie's release"


def test_the_films_of_a_collection_are_in_one_fold_and_a_table_of_one_fold_is_an_error() -> None:
    movies = [movie(n, year=2000, collection="Saga" if n < 20 else None) for n in range(300)]
    folds = folds_of(movies)
    assert len(set(folds[:20])) == 1
    assert set(folds) == {0, 1, 2, 3, 4}
    with pytest.raises(UserError, match="20 movies are too few"):
        audited(movies[:20], ())


def test_the_parts_together_are_the_table_of_the_linear_part() -> None:
    """A fit on them predicts as `training.ridge`, though this one encodes each field by itself."""
    movies = honest()
    reads = Reads(("title", "genres", "year", "runtime", "directors", "summary"), ("cast",))
    table = pa.Table.from_pylist(movies, record.WITH_YEAR)
    ratings = table["vote_average"].to_numpy()
    rated = Rated(Movies(table), ratings, np.ones(len(movies)))
    model, _ = fit_linear(rated, rated, reads, Thresholds(5.0, 6.5), options(alphas=[5.0]))
    columns = Encoder(table.to_pylist(), reads, 2).whole().table()
    predicted = Ridge(alpha=5.0, tol=1e-8).fit(columns, ratings).predict(columns)
    assert np.abs(predicted - model.ratings(movies)).max() < 0.02


def test_without_genres_there_are_no_pairs_of_a_genre_and_a_number() -> None:
    reads = Reads(("title", "genres", "year", "summary"))
    encoder = Encoder(honest(), reads, 2)
    whole = encoder.whole()
    left_out = encoder.without(whole, "genres")
    assert "genres" not in left_out.indicators
    assert 0 < left_out.indicators["year"].shape[1] < whole.indicators["year"].shape[1]
    assert encoder.without(whole, "year").indicators["genres"] is whole.indicators["genres"]


def test_the_number_in_the_record_counts_names_that_are_not_read() -> None:
    movies = [movie(0, cast=None), movie(1, cast=["A", " ", "NonGiven"]), movie(2, cast=PEOPLE[:9])]
    columns = number_in_record(movies, "cast").toarray()
    assert np.expm1(columns[:, 0]) == pytest.approx([0, 1, 9])
    assert columns[:, 1:].argmax(axis=1).tolist() == [0, 1, 5]


@pytest.fixture
def pipeline(workspace: Any) -> Callable[[Sequence[Film]], None]:
    """Writes what the stage reads: the tables of clean, split and history."""

    def write(movies: Sequence[Film]) -> None:
        shutil.copy(ROOT / "params.yaml", workspace)
        sides = ["train", "train", "train", "validation", "test"]
        ids = {"id": [film["id"] for film in movies], "split": [sides[n % 5] for n in range(len(movies))]}
        parquet.write_table(CLEAN, pa.Table.from_pylist(list(movies), record.MOVIE))
        parquet.write_table(SPLITS, pa.table(ids, record.SPLIT_OF))
        parquet.write_table(OUTSIDE, record.OUTSIDE.empty_table())
        storage.write_json(THRESHOLDS, {"low": 5.0, "high": 6.5})

    return write


def test_the_stage_writes_the_figures_and_warns(
    pipeline: Callable[[Sequence[Film]], None], workspace: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline(leaky("cast", 1, 5, count=400))
    assert exit_code(audit_stage) == 0
    found = json.loads((workspace / AUDIT).read_text())
    assert found["movies"] == 320  # none of the test split
    assert found["flagged"] == ["cast"]
    assert RECORDS in found["facts"]
    output = capsys.readouterr()
    assert output.out.startswith("audit: R² ")
    assert len(output.out.splitlines()) == 1
    assert output.err.splitlines() == [f"audit: warning: {warning}" for warning in found["warnings"]]
    assert "cast: the number of its names" in output.err
