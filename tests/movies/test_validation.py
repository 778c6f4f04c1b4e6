"""The one check of a movie: the error names the field, and the caller adds the place."""

import math
from typing import Any

import pytest

from movie_ratings.core.errors import UserError
from movie_ratings.movies.validation import MovieError, validated


@pytest.mark.parametrize(
    ("movie", "field", "reason"),
    [
        ({}, "title", "title and summary are both empty"),
        ({"title": " ", "summary": "\0"}, "title", "title and summary are both empty"),
        ({"title": 7}, "title", "title must be text, found 7"),
        ({"title": "A", "summary": ["b"]}, "summary", "summary must be text, found ['b']"),
        ({"title": "A", "genres": "Drama"}, "genres", "genres must be a list of names, found 'Drama'"),
        ({"title": "A", "cast": ["B", 7]}, "cast", "cast must be a list of names, found ['B', 7]"),
        ({"title": "A", "year": True}, "year", "year must be a whole number from 1870 to 2,100, found True"),
        ({"title": "A", "year": 1869}, "year", "year must be a whole number from 1870 to 2,100, found 1869"),
        ({"title": "A", "runtime": 1.5}, "runtime", "runtime must be a whole number from 0 to 10,000, found 1.5"),
        ({"title": "A", "runtime": math.inf}, "runtime", "runtime must be a whole number from 0 to 10,000, found inf"),
        (
            {"title": "A", "year": 10**5_000},
            "year",
            "year must be a whole number from 1870 to 2,100, found a number of very many digits",
        ),
    ],
)
def test_an_error_has_the_field_and_the_reason(movie: dict[str, Any], field: str, reason: str) -> None:
    with pytest.raises(MovieError) as caught:
        validated(movie)
    assert (caught.value.field, caught.value.reason) == (field, reason)
    assert str(caught.value) == reason


# vLLM CVE-2025-29770 and CVE-2026-34756: resources without a bound.
@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("title", "a" * 1_000_001, "title must have at most 1,000,000 characters, found 1,000,001"),
        ("summary", "a" * 1_000_001, "summary must have at most 1,000,000 characters, found 1,000,001"),
        ("genres", ["a"] * 1_001, "genres must have at most 1,000 names, found 1,001"),
        ("spoken_languages", ["a"] * 1_001, "spoken_languages must have at most 1,000 names, found 1,001"),
        ("directors", ["a"] * 1_001, "directors must have at most 1,000 names, found 1,001"),
        ("cast", ["a"] * 30_000, "cast must have at most 1,000 names, found 30,000"),
        ("cast", ["a" * 10_001], "each of cast must have at most 10,000 characters, found 10,001"),
    ],
)
def test_every_text_and_every_list_has_a_limit(field: str, value: Any, reason: str) -> None:
    with pytest.raises(MovieError) as caught:
        validated({"title": "A"} | {field: value})
    assert (caught.value.field, caught.value.reason) == (field, reason)


def test_an_error_quotes_a_large_value_in_part() -> None:
    for value in ([7] * 1_000, [[[[[7] * 9] * 9] * 9] * 9], {"a": "b" * 1_000_000}, "d" * 1_000_000):
        with pytest.raises(MovieError) as caught:
            validated({"title": "A", "genres": value})
        assert len(str(caught.value)) < 300


def test_the_caller_adds_the_place() -> None:
    error = MovieError("title", "title must be text, found 7").at("movies.csv line 3")
    assert type(error) is UserError
    assert str(error) == "movies.csv line 3: title must be text, found 7"


@pytest.mark.parametrize(
    "movie",
    [
        {"title": "A"},
        {"summary": "b", "title": None},
        {"title": "A", "genres": None, "cast": [], "year": None, "runtime": math.nan},
        {"title": "A", "year": 1994.0, "runtime": 0},
        {"title": "A", "vote_count": "a field that no model reads"},
        {"title": "A", "summary": "b" * 1_000_000, "cast": ["c"] * 999 + ["d" * 10_000]},
    ],
)
def test_a_movie_that_can_be_read_passes_unchanged(movie: dict[str, Any]) -> None:
    assert validated(movie) is movie
