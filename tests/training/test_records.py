"""Track records: which films count for a movie."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from movie_ratings.model.track_records import FEATURES, years_of
from movie_ratings.movies import outside
from movie_ratings.movies.record import MOVIE, OUTSIDE, WITH_YEAR
from movie_ratings.training.records import as_of, features, fit_records, standardised
from tests.support.builders import movie

DIRECTORS = FEATURES.index("ratings of directors")


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


def found(train: pa.Table, outside: pa.Table | None = None, most: int = 1_000) -> list[float]:
    """The director's record as each movie reads it."""
    ratings = train["vote_average"].to_numpy()
    table = features(train, ratings, others() if outside is None else outside, most)[0]
    return [float(record) for record in table[:, DIRECTORS]]


def shrunken(scores: Sequence[float]) -> Any:
    """The mean of these films' ratings, as if there were two films of average rating beside them."""
    return pytest.approx(sum(scores) / (len(scores) + 2), rel=1e-5, abs=1e-6)


def scores_of(table: pa.Table) -> list[float]:
    return standardised(table["vote_average"].to_numpy(), as_of(table)).tolist()


def test_only_films_of_earlier_years_count() -> None:
    train = films(("First", 2000, 9.0), ("Same year", 2000, 1.0), ("Second", 2001, 1.0), ("Third", 2005, 2.0))
    scores = scores_of(train)
    assert found(train) == [0, 0, shrunken(scores[:2]), shrunken(scores[:3])]


def test_a_rating_is_compared_with_what_is_usual_for_its_year() -> None:
    declining = films(*((f"F{n}", 1950 + n, 9 - n / 10) for n in range(40)))
    assert scores_of(declining) == pytest.approx([0.0] * 40, abs=1e-6)
    assert scores_of(films(("A", 2000, 1.0), ("B", 2000, 3.0))) == pytest.approx([-1.0, 1.0])
    assert scores_of(films(("A", None, 1.0), ("B", None, 3.0))) == [0, 0]


def test_a_movie_without_a_year_has_no_record_and_adds_to_none() -> None:
    train = films(("First", 2000, 9.0), ("Undated", None, 1.0), ("Second", 2001, 5.0), ("Third", 2009, 5.0))
    scores = scores_of(train)
    assert found(train)[:3] == [0, 0, shrunken(scores[:1])]


def test_films_of_the_same_collection_do_not_count() -> None:
    saga = films(("One", 2000, 9.0), ("Two", 2003, 1.0), ("Three", 2006, 5.0), collection="The Saga")
    assert found(saga) == [0, 0, 0]
    both = pa.concat_tables([saga, films(("Alone", 1999, 9.0), ("Late", 2010, 2.0))])
    scores = scores_of(both)
    assert found(both) == [*[shrunken(scores[3:4])] * 3, 0, shrunken(scores[:4])]


def test_each_source_is_standardised_by_itself_and_of_many_films_some_count() -> None:
    train = films(("First", 2000, 9.0), ("Second", 2001, 5.0))
    praised = others(*({"title": f"F{n}", "year": 1990, "rating": 40.0 + n} for n in range(50)))
    assert found(train, praised)[0] == pytest.approx(0, abs=1e-6)
    better = others(
        *({"title": f"F{n}", "year": 1990, "rating": 90.0} for n in range(25)),
        *({"title": f"G{n}", "year": 1990, "rating": 10.0, "directors": ["Another"]} for n in range(25)),
    )
    assert found(train, better)[0] == shrunken([1.0] * 25)
    # The training movies, and ten of the others at even distances.
    assert found(train, better, most=12)[0] == shrunken([1.0] * 5)


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
