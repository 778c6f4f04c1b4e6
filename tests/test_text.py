import unicodedata
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from stages.groups import group_key, position
from stages.text import compose, normalise

ANYTHING = st.text(st.characters(), max_size=60)
FIELDS = ("title", "genres", "summary")


def test_a_movie_reads_as_sentences() -> None:
    movie = {"title": "The  Long\nHarbour", "genres": ["Drama", "Crime"], "summary": "One last ship."}
    assert compose(movie, FIELDS) == "The Long Harbour. Drama, Crime. One last ship."


def test_absent_fields_leave_no_trace() -> None:
    assert compose({"title": "Up!", "genres": ["NonGiven"], "summary": None}, FIELDS) == "Up!"
    assert compose({"summary": "A ship."}, FIELDS) == "A ship."
    assert compose({}, FIELDS) == ""


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
    day = date(2001, 4, 25)
    assert group_key("Amélie", day) == group_key("AMELIE !", date(2001, 11, 2))
    assert group_key("Amélie", day) != group_key("Amélie", date(2002, 4, 25))
    assert group_key("???", day) != group_key("!!!", day)
    assert group_key("की", day) != group_key("का", day)


@given(ANYTHING)
def test_the_key_does_not_depend_on_unicode_form_or_case(title: str) -> None:
    key = group_key(title, None)
    assert group_key(unicodedata.normalize("NFC", title), None) == key or not key.strip("|").isalnum()
    assert 0 <= position(key, "salt") < 1
    assert position(key, "salt") == position(key, "salt")
