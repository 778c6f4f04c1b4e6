import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from movie_ratings.core import parquet, storage
from movie_ratings.movies import cleaning
from movie_ratings.movies.cleaning import clean_table
from movie_ratings.movies.film import group_key, group_keys
from movie_ratings.movies.record import MOVIE
from movie_ratings.movies.text import normalise
from movie_ratings.params import Clean
from tests.support.builders import cleaned, frame, movie

OPTIONS = Clean(min_votes=10)
WITH_FILES = settings(deadline=None, max_examples=40)

MOVIES = st.lists(
    st.builds(
        lambda n, title, summary, rating, votes, genres: movie(
            n, title=title, summary=summary, vote_average=rating, vote_count=votes, genres=genres
        ),
        st.integers(1, 8),
        st.sampled_from(["Up", "up!", " Up ", "Down", "", None, "\u2003"]),
        st.sampled_from(["A story.", " A\nstory. ", "", None]),
        st.sampled_from([0.0, 5.0, 7.5, 11.0, float("nan"), None]),
        st.sampled_from([0, 9, 10, 50, None]),
        st.sampled_from([["Drama"], [], None, [" ", "Zombie  Western"]]),
    ),
    max_size=12,
)


def test_each_row_is_dropped_for_the_first_reason_that_applies() -> None:
    movies, counts = cleaned(
        frame(
            movie(1),
            movie(2, summary=" \n"),
            movie(3, vote_average=0.0),
            movie(4, vote_count=9),
            movie(5, title=None, summary=None),
            movie(6, vote_average=10.5),
            movie(1, vote_count=200),
            movie(7, title="FILM 1", vote_count=150),
        ),
        OPTIONS,
    )
    assert movies.select("id", "vote_count").rows() == [(1, 200)]
    assert counts == {
        "rows_in": 8,
        "rows_out": 1,
        "dropped": {
            "no_title": 1,
            "no_summary": 1,
            "no_rating": 1,
            "rating_out_of_range": 1,
            "few_votes": 1,
            "duplicate_id": 1,
            "duplicate_title_year": 1,
        },
    }


def test_missing_genres_are_named_and_unknown_ones_kept() -> None:
    movies, _ = cleaned(
        frame(movie(1, genres=None), movie(2, genres=[]), movie(3, genres=["Zombie  Western"])), OPTIONS
    )
    assert movies["genres"].to_list() == [["NonGiven"], ["NonGiven"], ["Zombie Western"]]


def test_movies_of_several_titles_that_share_an_id_are_all_kept() -> None:
    tables = [movie(n, title=f"Film {n} of {table}") for table in ("one", "two") for n in range(1, 4)]
    movies, counts = cleaned(frame(*tables, movie(9), movie(9, vote_count=500)), OPTIONS)
    assert sorted(movies["title"]) == sorted(["Film 9", *(found["title"] for found in tables)])
    assert movies["id"].is_unique().all()
    assert counts["dropped"]["duplicate_id"] == 1
    # The new ids are those of the films, whatever the order of the rows is.
    again, _ = cleaned(frame(movie(9, vote_count=500), movie(9), *reversed(tables)), OPTIONS)
    assert again.equals(movies)


@WITH_FILES
@given(MOVIES, st.randoms(use_true_random=False))
def test_every_row_is_counted_once_in_any_order_and_cleaning_again_changes_nothing(
    movies: list[dict[str, Any]], shuffle: random.Random
) -> None:
    kept, counts = cleaned(frame(*movies), OPTIONS)
    assert counts["rows_in"] == len(movies)
    assert counts["rows_out"] == len(kept) == counts["rows_in"] - sum(counts["dropped"].values())
    assert kept["id"].is_unique().all()
    again, counts = cleaned(kept, OPTIONS)
    assert again.equals(kept)
    assert sum(counts["dropped"].values()) == 0
    shuffled = list(movies)
    shuffle.shuffle(shuffled)
    other, other_counts = cleaned(frame(*shuffled), OPTIONS)
    assert other_counts["rows_out"] <= len(movies)
    assert other["id"].is_sorted()


def test_the_bytes_do_not_tell_how_many_rows_were_read_and_sorted_at_a_time(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = list(range(300)) * 2
    random.Random(0).shuffle(numbers)
    movies = [movie(n, title=f"Film {n % 290}", vote_count=10 + place) for place, n in enumerate(numbers)]
    parquet.write_table("raw.parquet", frame(*movies).to_arrow().cast(MOVIE))
    found = set()
    for batch, bucket in ((65_536, 131_072), (7, 131_072), (65_536, 10), (64, 50)):
        monkeypatch.setattr(parquet, "BATCH", batch)
        monkeypatch.setattr(cleaning, "BUCKET", bucket)
        counts = clean_table("raw.parquet", "clean.parquet", OPTIONS.min_votes)
        assert counts["dropped"] == dict.fromkeys(cleaning.REASONS, 0) | {
            "duplicate_id": 300,
            "duplicate_title_year": 10,
        }
        found.add(storage.sha256("clean.parquet"))
    assert len(found) == 1


def test_what_a_crash_left_is_cleared_away(workspace: Path) -> None:
    parquet.write_table("raw.parquet", frame(movie(1)).to_arrow().cast(MOVIE))
    left = Path(".clean.parquet.scratch")
    left.mkdir()
    (left / "0.arrow").write_bytes(b"half a file")
    assert clean_table("raw.parquet", "clean.parquet", OPTIONS.min_votes)["rows_out"] == 1
    assert not left.exists()


@given(st.text())
def test_a_text_that_is_not_unusual_is_normalised(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    assert pl.Series([text]).str.contains(cleaning.UNUSUAL).item() or normalise(text) == text
    assert cleaning.normalised(one(summary=text, genres=[text]))["summary"].item() == (normalise(text) or None)


@given(st.lists(st.text() | st.sampled_from(["Amélie", "AMELIE!", "???", "ẞ", "Σς"]), max_size=5))
def test_many_group_keys_are_those_of_each(titles: list[str]) -> None:
    titles = [title.encode("utf-8", "replace").decode() for title in titles]
    years = [None if n % 2 else 2000 + n for n in range(len(titles))]
    found = group_keys(pl.Series(titles, dtype=pl.String), pl.Series(years, dtype=pl.Int32))
    assert found.to_list() == [group_key(title, year) for title, year in zip(titles, years, strict=True)]


def one(**fields: Any) -> Any:
    return frame(movie(1, **fields)).to_arrow().cast(MOVIE).to_batches()[0]
