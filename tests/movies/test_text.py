import unicodedata
from collections.abc import Iterator
from datetime import date
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from movie_ratings.movies.film import group_key, position
from movie_ratings.movies.record import MOVIE, WITH_YEAR
from movie_ratings.movies.release import add_year, with_year
from movie_ratings.movies.text import FIELDS as ALL
from movie_ratings.movies.text import FIRST, NAMES, compose, has, names, normalise, number, without

ANYTHING = st.text(st.characters(), max_size=60)
FIELDS = ("title", "genres", "summary")


def test_a_movie_reads_as_sentences() -> None:
    movie = {"title": "The  Long\nHarbour", "genres": ["Drama", "Crime"], "summary": "One last ship."}
    assert compose(movie, FIELDS) == "The Long Harbour. Drama, Crime. One last ship."


def test_absent_fields_leave_no_trace() -> None:
    assert compose({"title": "Up!", "genres": ["NonGiven"], "summary": None}, FIELDS) == "Up!"
    assert compose({"summary": "A ship."}, FIELDS) == "A ship."
    assert compose({}, FIELDS) == ""


def test_facts_read_as_sentences_between_them() -> None:
    movie = {
        "title": "The Long Harbour", "genres": ["Drama"], "year": 1994, "runtime": 142,
        "spoken_languages": ["English", "Français"], "directors": ["Ada Example"], "cast": ["Bo One", "Cy Two"],
        "writers": ["Di Three", "Ed Four"], "producers": ["Fe Five"], "cinematographers": ["Gi Six"],
        "editors": ["Hu Seven"], "composers": ["Ix Eight"], "companies": ["Quay Films"],
        "countries": ["France", "Italy"], "collection": "Harbour Collection", "keywords": ["ice", "pilot"],
        "budget": 2_500_000, "summary": "One last ship.",
    }  # fmt: skip
    assert compose(movie, ALL) == (
        "The Long Harbour. Drama. 1994. 142 minutes. In English, Français. Directed by Ada Example. "
        "Starring Bo One, Cy Two. Written by Di Three, Ed Four. Produced by Fe Five. Photographed by Gi Six. "
        "Edited by Hu Seven. Music by Ix Eight. A production of Quay Films. From France, Italy. "
        "Part of Harbour Collection. About ice, pilot. $2,500,000. One last ship."
    )
    assert all(has(movie, field) for field in ALL)
    bare = without(movie, ["year", "cast", "collection"])
    assert not has(bare, "year")
    for word in ("1994", "Starring", "Part of"):
        assert word not in compose(bare, ALL)


def test_a_year_is_a_number_or_the_date_of_release() -> None:
    def year(**movie: Any) -> int | None:
        return number(with_year(movie), "year")

    assert year(year=1994) == 1994
    assert year(year=1994, release_date="2001-01-01") == 1994
    assert year(release_date="1994-05-25") == 1994
    assert year(release_date=date(1994, 5, 25)) == 1994
    assert year(release_date="soon") is None
    assert year(release_date=None) is None
    stored = pa.Table.from_pylist([{"release_date": date(1994, 5, 25)}, {}], MOVIE)
    assert add_year(stored)["year"].to_pylist() == [1994, None]
    assert add_year(stored).schema == WITH_YEAR


def test_what_is_no_number_is_not_known() -> None:
    assert number({"runtime": float("nan")}, "runtime") is None
    assert number({"runtime": 0}, "runtime") is None


def test_what_is_known_only_after_release_is_not_in_the_text() -> None:
    """However it is set, it changes neither the text nor, with a longer cast list, the number of names in it."""
    movie = {"title": "Film", "summary": "A story.", "cast": ["A B", "C D", "E F", "G H", "I J"]}
    after = {"vote_average": 9.87, "vote_count": 98_765, "popularity": 98.765, "awards": "Oscar", "revenue": 98_765_432}
    assert compose(movie | after, ALL) == compose(movie, ALL)
    assert {"vote_average", "vote_count", "popularity"} <= set(MOVIE.names)
    assert not {"vote_average", "vote_count", "popularity", "awards", "revenue", "rating", "label"} & set(ALL)
    long = movie | {"cast": [*movie["cast"], *(f"Extra {n}" for n in range(90))]}
    assert compose(long, ALL) == compose(movie, ALL)
    assert names(long, "cast") == movie["cast"]


@given(ANYTHING)
def test_normalised_text_is_clean_and_stays_as_it_is(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert once == " ".join(once.split())
    assert "\0" not in once
    once.encode("utf-8")


@given(ANYTHING, st.lists(ANYTHING, max_size=4), ANYTHING)
def test_any_movie_has_a_text_with_its_words_in_it(title: str, genres: list[str], summary: str) -> None:
    text = compose({"title": title, "genres": genres, "summary": summary}, FIELDS)
    assert normalise(title) in text
    assert normalise(summary) in text


def test_spelling_does_not_make_another_film() -> None:
    assert group_key("Amélie", 2001) == group_key("AMELIE !", 2001)
    assert group_key("Amélie", 2001) != group_key("Amélie", 2002)
    assert group_key("???", 2001) != group_key("!!!", 2001)
    assert group_key("की", 2001) != group_key("का", 2001)


@given(ANYTHING)
def test_the_key_does_not_depend_on_unicode_form_or_case(title: str) -> None:
    key = group_key(title, None)
    assert group_key(unicodedata.normalize("NFC", title), None) == key or not key.strip("|").isalnum()
    assert 0 <= position(key, "salt") < 1
    assert position(key, "salt") == position(key, "salt")


@pytest.mark.parametrize("field", NAMES)
def test_a_list_of_any_length_costs_no_more_than_the_names_that_are_read(field: str) -> None:
    looked_at = 0

    class Counted(list):
        def __iter__(self) -> Iterator[str]:
            nonlocal looked_at
            for name in super().__iter__():
                looked_at += 1
                yield name

    movie = {field: Counted(f"Name {n}" for n in range(30_000))}
    assert len(names(movie, field)) == FIRST[field]
    assert looked_at <= FIRST[field] + 1
