import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stages.clean import cleaned
from stages.params import Clean
from tests.conftest import frame, movie

OPTIONS = Clean(min_votes=10)

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


@given(MOVIES)
def test_every_row_is_kept_or_counted_once(movies: list[dict[str, Any]]) -> None:
    kept, counts = cleaned(frame(*movies), OPTIONS)
    assert counts["rows_in"] == len(movies)
    assert counts["rows_out"] == len(kept) == counts["rows_in"] - sum(counts["dropped"].values())
    assert kept["id"].is_unique().all()


@given(MOVIES, st.randoms(use_true_random=False))
def test_cleaning_again_changes_nothing_and_order_hardly_matters(
    movies: list[dict[str, Any]], shuffle: random.Random
) -> None:
    kept, _ = cleaned(frame(*movies), OPTIONS)
    again, counts = cleaned(kept, OPTIONS)
    assert again.equals(kept)
    assert sum(counts["dropped"].values()) == 0
    shuffled = list(movies)
    shuffle.shuffle(shuffled)
    other, other_counts = cleaned(frame(*shuffled), OPTIONS)
    assert other_counts["rows_out"] <= len(movies)
    assert other["id"].is_sorted()
