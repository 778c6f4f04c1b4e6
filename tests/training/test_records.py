"""Track records: which films count for a movie."""

from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from movie_ratings.model.track_records import FEATURES, years_of
from movie_ratings.movies import outside
from movie_ratings.movies.record import MOVIE, OUTSIDE, WITH_YEAR
from movie_ratings.training.records import features, fit_records
from tests.support.builders import movie

RATING, FILMS = FEATURES.index("ratings of directors"), FEATURES.index("films of directors")


def films(*rows: tuple[str, int | None, float], **fields: Any) -> pa.Table:
    """Training movies by one director: title, year and rating of each."""
    return pa.Table.from_pylist(
        [
            movie(n, title=title, year=year, vote_average=rating, directors=["Ada Example"], **fields)
            for n, (title, year, rating) in enumerate(rows)
        ],
        WITH_YEAR,
    )


def others(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([{"source": "critics", "directors": ["Ada Example"]} | row for row in rows], OUTSIDE)


def found(train: pa.Table, outside: pa.Table | None = None, most: int = 1_000) -> np.ndarray:
    ratings = train["vote_average"].to_numpy()
    return features(train, ratings, others() if outside is None else outside, most)[0]


def test_only_films_of_earlier_years_count() -> None:
    train = films(("First", 2000, 9.0), ("Same year", 2000, 1.0), ("Second", 2001, 1.0), ("Third", 2005, 1.0))
    counts = np.expm1(found(train)[:, FILMS]).round().tolist()
    assert counts == [0, 0, 2, 3]
    # The mean of two standardised ratings, shrunken as if there were two films of average rating beside them.
    standardised = (np.array([9, 1, 1, 1]) - 3) / np.std([9, 1, 1, 1])
    assert found(train)[2, RATING] == pytest.approx(standardised[:2].sum() / 4, rel=1e-6)
    assert found(train)[0, RATING] == 0


def test_a_movie_without_a_year_has_no_record_and_adds_to_none() -> None:
    train = films(("First", 2000, 9.0), ("Undated", None, 1.0), ("Second", 2001, 5.0))
    assert np.expm1(found(train)[:, FILMS]).round().tolist() == [0, 0, 1]


def test_films_of_the_same_collection_do_not_count() -> None:
    saga = films(("One", 2000, 9.0), ("Two", 2003, 1.0), ("Three", 2006, 5.0), collection="The Saga")
    assert np.expm1(found(saga)[:, FILMS]).round().tolist() == [0, 0, 0]
    both = pa.concat_tables([saga, films(("Alone", 1999, 9.0), ("Late", 2010, 2.0))])
    assert np.expm1(found(both)[:, FILMS]).round().tolist() == [1, 1, 1, 0, 4]


def test_each_source_is_standardised_by_itself_and_of_many_films_some_count() -> None:
    critics = others(*({"title": f"F{n}", "year": 1990, "rating": 40.0 + n} for n in range(50)))
    train = films(("First", 2000, 9.0), ("Second", 2001, 5.0))
    assert found(train, critics)[0, RATING] == pytest.approx(0, abs=1e-6)
    assert np.expm1(found(train, critics)[0, FILMS]) == pytest.approx(50)
    assert np.expm1(found(train, critics, most=12)[0, FILMS]) == pytest.approx(10)


def test_the_records_do_not_depend_on_the_order_of_the_films() -> None:
    train = films(*((f"F{n}", 1990 + n % 5, float(n % 7)) for n in range(30)))
    one = fit_records(train, train["vote_average"].to_numpy(), others(), 100)
    turned = train.take(list(reversed(range(30))))
    other = fit_records(turned, turned["vote_average"].to_numpy(), others(), 100)
    asked = [{"directors": ["Ada Example"], "year": 1993}]
    assert np.array_equal(one.features(asked, years_of(asked)), other.features(asked, years_of(asked)))


def test_of_another_table_only_films_count_that_are_no_movies_of_the_pipeline() -> None:

    rows = [
        movie(n, title=title, release_date=released, vote_average=rating, vote_count=votes)
        for n, (title, released, rating, votes) in enumerate(
            [
                ("Amélie", date(2001, 4, 25), 8.0, 50),  # the same film, of a neighbouring year
                ("Other", date(2001, 1, 1), 8.0, 50),
                ("Other", date(2001, 6, 1), 7.0, 50),  # twice
                ("Remade", date(1960, 1, 1), 8.0, 50),  # another film of the title
                ("Undated", None, 8.0, 50),
                ("Few votes", date(2001, 1, 1), 8.0, 3),
                ("No rating", date(2001, 1, 1), 0.0, 50),
                ("Unknown year", date(1999, 1, 1), 8.0, 50),  # the pipeline's movie of the title has no year
            ]
        )
    ]

    known = outside.rated_films(pa.RecordBatch.from_pylist(rows, MOVIE), 10)
    left = outside.not_among(
        known, pl.Series(["AMELIE!", "Remade", "Unknown Year"]), pl.Series([2002, 2010, None], dtype=pl.Int32)
    )
    assert list(zip(left["title"], left["year"], left["rating"], strict=True)) == [
        ("Other", 2001, 8.0),
        ("Remade", 1960, 8.0),
    ]
