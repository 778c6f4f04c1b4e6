"""Invented movies: the same for the same seed, and as imperfect as real ones."""

from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from benchmarks.generate import BLOCK, generate
from movie_ratings.movies.film import group_key
from movie_ratings.movies.record import MOVIE
from movie_ratings.params import Clean
from tests.support.builders import cleaned


def table(rows: int, seed: int = 0) -> pl.DataFrame:
    return pl.DataFrame(pa.Table.from_batches(generate(rows, seed), MOVIE))


@pytest.fixture(scope="module")
def movies() -> pl.DataFrame:
    return table(2 * BLOCK + 100)


@pytest.fixture(scope="module")
def cleaning(movies: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The movies that are kept of `movies`, and the counts."""
    return cleaned(movies, Clean(min_votes=10))


def test_a_row_is_the_same_however_many_there_are(movies: pl.DataFrame) -> None:
    assert len(movies) == 2 * BLOCK + 100
    assert table(BLOCK + 50).equals(movies.head(BLOCK + 50))
    assert not table(50, seed=1).equals(movies.head(50))


def test_some_films_come_again_anywhere_in_the_table(movies: pl.DataFrame) -> None:
    row = pl.col("row")
    apart = movies.with_row_index("row").group_by("id").agg(row.max() - row.min())["row"].to_numpy()
    assert 0.01 < (apart > 0).mean() < 0.02
    assert apart.max() > BLOCK
    named = movies.drop_nulls(["title", "release_date"]).unique("id")
    keys = [group_key(title, day.year) for title, day in named.select("title", "release_date").iter_rows()]
    assert 0.01 < 1 - len(set(keys)) / len(keys) < 0.1


def test_every_reason_to_drop_a_row_occurs(movies: pl.DataFrame, cleaning: tuple[pl.DataFrame, dict[str, Any]]) -> None:
    kept, counts = cleaning
    assert all(count > 0 for count in counts["dropped"].values())
    assert 0.5 < len(kept) / len(movies) < 0.9


def test_ratings_follow_from_what_is_known(cleaning: tuple[pl.DataFrame, dict[str, Any]]) -> None:
    kept, _ = cleaning
    ratings = {
        genre: kept.filter(pl.col("genres").list.contains(genre))["vote_average"].to_numpy().mean()
        for genre in ("Drama", "Western")
    }
    assert ratings["Drama"] - ratings["Western"] > 0.3
