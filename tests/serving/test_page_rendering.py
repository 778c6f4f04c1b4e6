"""What the page makes of predictions, as text: no browser, no service."""

import re
from datetime import UTC, date, datetime
from typing import Any

import pytest

from movie_ratings.movies.labels import Thresholds
from movie_ratings.movies.validation import MovieError
from movie_ratings.prediction.classifier import Comparable, Prediction
from movie_ratings.prediction.explain import Effect, Explanation
from movie_ratings.sources.tables.table import KINDS
from movie_ratings.sources.tmdb.lookup import Match, Matches
from serving import uploads
from serving.page import answer, differences, form, link, search, slate
from serving.page.answer import Basis
from serving.page.blocks import Refusal
from serving.page.markup import shown
from serving.page.preview import preview
from serving.page.scale import scale
from serving.slates import Slate
from serving.tmdb import Known

BASIS = Basis(Thresholds(5.5, 7.0), {"bad": 0.15, "average": 0.7, "good": 0.15}, "0123456789ab")
# Labelled good, though average is more probable.
PREDICTION = Prediction("good", {"bad": 0.04, "average": 0.705, "good": 0.255}, 6.84, (5.8, 7.7))
MOVIE = {"title": "Film 7", "genres": ["Drama"], "runtime": 112}


def words(html: str) -> str:
    """The text of HTML."""
    return re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", html))


def test_the_scale_has_the_interval_the_borders_and_a_text_that_says_the_same() -> None:
    html = scale(PREDICTION, BASIS.thresholds)
    assert 'class="interval" style="left:58.00%;width:19.00%"' in html
    assert 'class="rating" style="left:68.40%"' in html
    assert [html.count(f'class="zone {name}"') for name in ("bad", "average", "good")] == [1, 1, 1]
    assert 'class="zone average" style="left:55.00%;width:15.00%"' in html
    assert (
        'role="img" aria-label="Predicted rating 6.8 of 10, 80% interval 5.8 to 7.7. '
        'Bad is a rating below 5.50, good one above 7.00."' in html
    )


def test_a_label_that_is_not_the_most_probable_has_a_reason_and_the_other_label_behind_the_radio() -> None:
    html = answer.heading(PREDICTION, BASIS)
    assert re.search(r'class="balanced"><h2>good</h2>.*The most probable class is average \(7[01]%\)', html)
    assert '<div class="most-probable"><h2>average</h2></div>' in html
    usual = answer.heading(PREDICTION._replace(label="average"), BASIS)
    assert "<h2>average</h2>" in usual
    assert "most-probable" not in usual


def test_each_probability_stands_beside_its_base_rate() -> None:
    html = answer.probabilities(PREDICTION, BASIS.base_rates)
    assert 'class="bar good" style="width:25.50%"' in html
    assert 'class="usual" style="left:15.00%"' in html
    assert "1.7 times the usual 15%" in words(html)


def test_the_strongest_reasons_are_bars_to_both_sides() -> None:
    fields = [Effect("title", "Film 7", 0.3, -0.05), Effect("runtime", "112", -0.2, 0.1)]
    effects = [Effect("title", "Film", 0.3, -0.05), Effect("title", "7", 0.0, 0.0), fields[1]]
    html = answer.details(Explanation(PREDICTION, fields, effects, None), [], BASIS)
    runtime, title = html.index("runtime</span> <bdi>112"), html.index("title</span> <bdi>Film 7")
    assert runtime < title
    assert 'class="bar for" style="left:50.00%;width:50.00%"' in html
    assert 'class="bar against" style="left:25.00%;width:25.00%"' in html
    assert "+0.10" in html
    assert "-0.05" in html
    # A field of one word has one bar.
    assert html.count("+0.10") == 1


@pytest.mark.parametrize("effects", [[], [Effect("title", "Film", 0.0, 0.0)]])
def test_reasons_without_any_effect_have_no_bars_to_scale(effects: list[Effect]) -> None:
    assert "What moved the rating" in answer.details(Explanation(PREDICTION, effects, effects, None), [], BASIS)


def test_comparable_movies_are_a_list_with_their_true_ratings() -> None:
    html = answer.similar([Comparable("The <b>Harbour</b>", 1994, 7.25, 0.9), Comparable("Ice", None, 5.0, 0.8)])
    assert html.count("<li>") == 2
    assert "&lt;b&gt;Harbour&lt;/b&gt;</bdi> (1994)" in html
    assert "7.2" in html
    assert "Ice</bdi></span>" in html
    assert answer.similar([]) == ""


def test_a_variant_has_its_differences_to_the_first() -> None:
    other = PREDICTION._replace(predicted_rating=7.16, probabilities={"bad": 0.04, "average": 0.655, "good": 0.305})
    html = differences.compared(MOVIE | {"runtime": 95, "directors": ["<A>"]}, other, BASIS, (MOVIE, PREDICTION))
    assert '7.2</strong> <span class="difference">(+0.4)' in html
    assert "(+5 points)" in html
    assert "(-5 points)" in html
    assert "(±0 points)" in html
    assert "runtime 112 → 95" in words(html)
    assert "directors nothing → &lt;A&gt;" in words(html)
    first = differences.compared(MOVIE, PREDICTION, BASIS)
    assert "difference" not in first.lower()


def test_what_is_empty_in_two_ways_is_no_difference() -> None:
    assert "No difference" in differences.changes(MOVIE, MOVIE | {"year": None, "cast": [], "collection": ""})


def test_a_movie_returns_from_its_link_and_from_its_form() -> None:
    movie = {
        "title": "Über “7” & <b>\U0001f3ac",
        "summary": "a\nb",
        "genres": ["Drama"],
        "cast": ["A B", "C"],
        "year": 1994,
    }
    packed = link.pack(movie)
    assert re.fullmatch(r"[\w-]+", packed, re.ASCII)
    assert link.unpack(packed) == movie
    assert form.known(form.movie(list(form.values(movie)))) == movie
    assert form.known(form.movie(list(form.column_values(movie)))) == movie


@pytest.mark.parametrize(
    "names",
    [["Metro, Inc.", "Quay Films"], ['"Weird" Al, Jr.', "B"], ['Samuel "Sam" Example'], ['"Quoted"'], ['Inch "']],
)
def test_names_with_commas_and_quotes_return_from_the_form(names: list[str]) -> None:
    movie = {"title": "A", "companies": names, "genres": names}
    for values in (form.values, form.column_values):
        assert form.known(form.movie(list(values(movie)))) == form.known(movie)


@pytest.mark.parametrize(
    ("text", "names"), [('"open, b', ["open, b"]), ("a,, b\n", ["a", "b"]), ('x"y, z', ['x"y', "z"]), (" , ", [])]
)
def test_names_are_read_as_a_visitor_types_them(text: str, names: list[str]) -> None:
    values = [text if field == "directors" else "A" if field == "title" else None for field in form.INPUTS]
    assert form.known(form.movie(values)).get("directors", []) == names


def test_a_name_that_is_too_long_is_refused_in_one_line() -> None:
    values = ["q" * 200_000 if field in ("directors", "title") else None for field in form.INPUTS]
    with pytest.raises(MovieError):
        form.movie(values)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("<script>", "<bdi>&lt;script&gt;</bdi>"),
        ("\"'&", "<bdi>&quot;&#x27;&amp;</bdi>"),
        ("a" * 201, f"<bdi>{'a' * 199}…</bdi>"),
        ("\ud800", "<bdi>?</bdi>"),
    ],
)
def test_what_somebody_wrote_is_shown_as_it_is(text: str, html: str) -> None:
    assert shown(text) == html


def test_a_preview_has_the_answers_behind_the_first_column_and_few_of_many_columns() -> None:
    row: dict[str, Any] = {f"column {number}": f"<{number}>" for number in range(30)} | {
        "label": "good", "probability_bad": 0.123456, "predicted_rating": 6.84
    }  # fmt: skip
    row["column 0"] = None
    row["column 1"] = ["a", "<b>"]
    html = preview([row] * 10, 2_000)
    head = re.findall('<th scope="col"><bdi>(.*?)</bdi>', html)
    assert head[:5] == ["column 0", "label", "probability_bad", "predicted_rating", "column 1"]
    assert len(head) == 15
    assert html.count("<tr>") == 11
    assert "The first 10 of 2,000 rows" in html
    assert "18 more columns are in the file." in html
    assert "<td>0.123</td>" in html
    assert "a, &lt;b&gt;" in html
    assert 'tabindex="0"' in html
    assert preview([], 0) == ""


def test_a_slate_is_a_table_of_its_first_films() -> None:
    film = {
        "rank": 1, "title": "<b>A</b>", "release_date": date(2027, 2, 3), "label": "<i>", "predicted_rating": 6.84,
        "predicted_rating_low": 5.8, "predicted_rating_high": 7.71,
    }  # fmt: skip
    found = Slate("2026-12-01", datetime(2026, 12, 1, 8, 30, tzinfo=UTC), "<v>", 2_000, [film] * 150, "x")
    html = slate.table(found)
    assert html.count('<th scope="row"><bdi>&lt;b&gt;A&lt;/b&gt;</bdi></th>') == 100
    assert "The first 100 of 2,000 films" in html
    assert "1 &lt;b&gt;A&lt;/b&gt; 2027-02-03 6.8 5.8 to 7.7 &lt;i&gt;" in words(html)
    few = slate.table(found._replace(total=1, films=[film | {"title": None, "release_date": None}]))
    assert "no title unknown" in words(few)
    assert "All films" in few
    assert "2,000 films" in slate.heading(found)
    assert "&lt;v&gt;" in slate.heading(found)


def test_a_match_is_one_line_with_what_tells_it_from_others() -> None:
    found = search.described(Match(id=9, title="A\nB\u202e", original_title="C" * 200, release_date="2027-02-03"))
    assert found == f"\u2068A B\u202e\u2069 (\u2068{'C' * 99}…\u2069), 2027-02-03, TMDB 9"
    assert search.described(Match(id=9, original_title="")) == "\u2068no title\u2069, no day of release, TMDB 9"
    matches = [Match(id=number) for number in range(1, 21)]
    assert "The first 20 of 1,134 matches." in search.counted(Matches(results=matches, total_results=1_134))
    assert search.counted(Matches(results=matches, total_results=3)) == "<p>20 matches.</p>"


def test_what_tmdb_has_of_a_film_fills_every_field() -> None:
    facts = {"title": "<b>", "genres": ["Drama"], "cast": ["A", "B"], "year": 2027}
    message, *values = search.filled(Known(None, facts))
    assert "&lt;b&gt;" in message
    assert "(no day of release)" in message
    assert form.known(form.movie(values)) == facts
    with pytest.raises(Refusal, match="no longer has this film"):
        search.filled(None)


def test_the_page_takes_every_table_that_is_not_packed() -> None:
    assert set(uploads.SUFFIXES) == set(KINDS)
