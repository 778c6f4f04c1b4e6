"""Comparable films: the rated movies that resemble a movie, and their file."""

from pathlib import Path
from typing import Any

import pytest

from movie_ratings.core.errors import UserError
from movie_ratings.model import comparables
from movie_ratings.model.comparables import FILE, Comparables

FILMS: list[dict[str, Any]] = [
    {"title": "Harbour", "summary": "A pilot guides a ship through the ice.", "genres": ["Drama"], "year": 1990,
     "directors": ["Ada Example"], "rating": 7.0},
    {"title": "Shark", "summary": "A shark eats a beach.", "genres": ["Horror"], "year": 2005, "rating": 3.0},
    {"title": "Ice", "summary": "A pilot of a ship in the ice.", "genres": ["Romance"], "year": 1950, "rating": 6.5},
    {"title": "Letters", "summary": "Two sisters write letters.", "genres": ["Drama"], "year": 1992, "rating": 8.0},
    {"title": "Untitled", "rating": 5.0},
]  # fmt: skip


def nearest(movie: dict[str, Any], count: int = 1) -> list[str]:
    films = Comparables.of(FILMS)
    return [films.films[place].title for place, _ in films.nearest(movie, count)]


def test_words_genres_people_and_years_each_bring_films_together() -> None:
    assert nearest({"title": "A", "summary": "The ship and the pilot in the ice."}) in (["Ice"], ["Harbour"])
    assert nearest({"title": "A", "genres": ["Horror"]}) == ["Shark"]
    assert nearest({"title": "A", "directors": ["Ada Example"]}) == ["Harbour"]
    assert nearest({"title": "A", "year": 1951}) == ["Ice"]


def test_a_similarity_is_at_most_1_and_the_nearest_film_comes_first() -> None:
    found = Comparables.of(FILMS).nearest(FILMS[0] | {"title": "Another Harbour"}, 10)
    similarities = [similarity for _, similarity in found]
    assert found[0][0] == 0
    assert len(found) == len(FILMS)
    assert similarities == sorted(similarities, reverse=True)
    assert all(0 <= similarity <= 1 for similarity in similarities)


def test_a_movie_is_not_compared_with_itself() -> None:
    assert "Harbour" not in nearest(FILMS[0], 10)
    assert "Harbour" not in nearest({"title": " harbour "}, 10)  # of which no year is known
    assert "Harbour" in nearest(FILMS[0] | {"year": 2020}, 10)  # a remake


def test_the_file_holds_the_films_as_they_were(tmp_path: Path) -> None:
    films = Comparables.of(FILMS)
    comparables.write(tmp_path, films)
    read = comparables.read(tmp_path)
    assert list(read.films) == list(films.films)
    for movie in FILMS:
        assert read.nearest(movie, 3) == films.nearest(movie, 3)
    assert Comparables.of([]).nearest(FILMS[0], 3) == []


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        comparables.read(tmp_path)
    (tmp_path / FILE).write_bytes(b"PAR1 is not enough")
    with pytest.raises(UserError, match="not a readable Parquet file"):
        comparables.read(tmp_path)
    comparables.write(tmp_path, Comparables.of([FILMS[0] | {"rating": float("nan")}]))
    with pytest.raises(UserError, match="not a table of comparable films"):
        comparables.read(tmp_path)
