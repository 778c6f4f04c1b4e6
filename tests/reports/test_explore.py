"""The tables and the page that describe the movies; the size of a batch does not change them."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from movie_ratings.core import parquet, storage
from movie_ratings.core.paths import EXPLORE_PAGE
from movie_ratings.movies.record import MOVIE
from movie_ratings.params import Params
from stages import explore
from tests.support.builders import frame, movie


@pytest.fixture
def described(workspace: Path, options: Callable[..., Params], monkeypatch: pytest.MonkeyPatch) -> Path:
    movies = [
        movie(
            n,
            summary=" ".join(["story"] * (1 + n)),
            genres=["Drama"] if n % 2 else ["Drama", "Comedy"],
            vote_average=n % 10 + 0.1,
            runtime=90 if n % 4 else None,
            original_language="en",
        )
        for n in range(40)
    ]
    parquet.write_table("data/clean/movies.parquet", frame(*movies).to_arrow().cast(MOVIE))
    monkeypatch.setattr("movie_ratings.params.load", options)
    return workspace


def table(name: str) -> pl.DataFrame:
    return pl.read_csv(f"metrics/explore/{name}.csv")


def test_the_tables_count_the_movies(described: Path) -> None:
    explore.explore()
    assert table("movies_per_genre").rows() == [("Drama", 40), ("Comedy", 20)]
    assert table("genres_per_movie").rows() == [(1, 20), (2, 20)]
    assert table("languages").rows() == [("en", 40)]
    missing = dict(table("missing").iter_rows())
    assert (missing["runtime"], missing["title"], missing["cast"]) == (10, 0, 40)
    assert table("text_length")["movies"].sum() == table("ratings")["movies"].sum() == 40
    assert "Measured on" not in Path(EXPLORE_PAGE).read_text()


def test_how_many_are_read_at_a_time_does_not_show(described: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explore, "MEASURED", 15)
    found = set()
    for batch in (65_536, 7, 1):
        monkeypatch.setattr(parquet, "BATCH", batch)
        explore.explore()
        found.add((storage.sha256(EXPLORE_PAGE), storage.sha256("metrics/explore/text_length.csv")))
    assert len(found) == 1


def test_of_a_large_table_the_texts_of_a_spread_are_measured(described: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    explore.explore()
    shortest = [count > 0 for count in table("text_length")["movies"]].index(True)
    monkeypatch.setattr(explore, "MEASURED", 5)
    explore.explore()
    lengths = table("text_length")
    assert lengths["movies"].sum() == 5
    assert lengths["movies"][shortest] > 0  # the first movie has the shortest text, the last the longest
    assert lengths["movies"][-1] > 0
    assert lengths["tokens_from"][-1] >= 32
    assert "Measured on 5 of them" in Path(EXPLORE_PAGE).read_text()
