"""What weighs most in the linear part, by kind."""

import re
from pathlib import Path

import polars as pl
import pytest

from movie_ratings.core import paths
from movie_ratings.core.csv_files import write_folder
from movie_ratings.evaluation.importance import COLUMNS, FEWEST, LISTED, importance
from movie_ratings.model.linear import Contribution, Contributions
from movie_ratings.reports import templates
from movie_ratings.reports.report_page import importance_by_kind


def movie(*contributions: tuple[str, str, float]) -> Contributions:
    return Contributions(6.0, [Contribution(*each) for each in contributions])


def test_a_field_weighs_what_it_moves_a_test_movie_by_on_average() -> None:
    test = [
        movie(("genres", "Drama", 0.5), ("genres", "Crime", -0.1), ("year", "2001 to 2004", -0.3)),
        movie(("genres", "Horror", -0.8)),
        movie(),
        movie(("year", "1989 to 1992", -0.1)),
    ]
    found = importance(test, [movie(("genres", "Drama", 9.0))] * FEWEST)
    rows = found.filter(pl.col("kind") == "field").to_dicts()
    assert [(row["field"], row["movies"]) for row in rows] == [("genres", 2), ("year", 2)]
    assert [row["points"] for row in rows] == pytest.approx([(0.4 + 0.8) / 4, (0.3 + 0.1) / 4])


def test_what_few_movies_have_is_left_out_and_the_others_are_ordered_by_their_mean() -> None:
    half = FEWEST // 2
    test = [
        movie(("words", "quiet harbour", 0.2), ("directors", "Ada", -0.3), ("directors", "known", 0.1)),
        movie(("words", "quiet harbour", 0.4), ("directors", "Bo", 0.1), ("earlier films of the cast", "", 0.6)),
    ] * half
    rare = [movie(("directors", "Rare", 3.0), ("words", "rare", 3.0))] * (FEWEST - 1)
    train = [movie(("directors", "Ada", -0.5), ("directors", "Bo", 0.1), ("companies", "Quay", 0.7))] * FEWEST
    found = importance(test, [*train, *rare])
    by_kind = {kind: found.filter(pl.col("kind") == kind).to_dicts() for kind in ("fact", "word", "person")}
    assert [(row["text"], row["movies"]) for row in by_kind["word"]] == [("quiet harbour", FEWEST)]
    assert by_kind["word"][0]["points"] == pytest.approx(0.3)
    assert [(row["text"], row["movies"]) for row in by_kind["person"]] == [
        ("Ada", FEWEST + half),
        ("Bo", FEWEST + half),
    ]
    assert by_kind["person"][0]["points"] == pytest.approx((-0.3 * half - 0.5 * FEWEST) / (FEWEST + half))
    # What is known at all, and a company, are no person.
    assert [(row["field"], row["text"]) for row in by_kind["fact"]] == [("companies", "Quay")]


def test_each_kind_lists_its_largest_alone_and_nothing_weighs_nothing() -> None:
    many = [movie(*(("words", f"word {n}", n / 100) for n in range(1, 3 * LISTED)))] * FEWEST
    words = importance(many, []).filter(pl.col("kind") == "word")
    assert words["text"].to_list() == [f"word {n}" for n in range(3 * LISTED - 1, 2 * LISTED - 1, -1)]
    nothing = importance([], [])
    assert nothing.is_empty()
    assert dict(nothing.schema) == COLUMNS


def test_the_report_has_a_table_of_each_kind(tmp_path: Path) -> None:
    test = [movie(("words", "<b>", 0.2), ("directors", "Ada", -0.3), ("spoken_languages", "English", 0.1))] * FEWEST
    write_folder(tmp_path / "tables", {"importance": importance(test, [])})
    rows = pl.read_csv(tmp_path / "tables" / "importance.csv").to_dicts()
    page = templates.render("importance.html.j2", importance=importance_by_kind(rows), paths=paths)
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in page.split("<tr>")]
    assert [row for row in cells if row] == [
        ["directors", "10", "0.300"],
        ["words", "10", "0.200"],
        ["spoken languages", "10", "0.100"],
        ["spoken languages: English", "10", "+0.100"],
        ["&lt;b&gt;", "10", "+0.200"],
        ["directors: Ada", "10", "-0.300"],
    ]
    assert not templates.render("importance.html.j2", importance=importance_by_kind([]), paths=paths).strip()
