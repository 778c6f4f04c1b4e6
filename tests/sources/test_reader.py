"""Which columns of a table fill which fields, and what is reported of the others."""

import csv
import io
import json
import time
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from movie_ratings import params
from movie_ratings.core.errors import UserError
from movie_ratings.movies import text
from movie_ratings.movies.record import MOVIE
from movie_ratings.prediction.movie_table import MovieTable
from movie_ratings.sources import selected
from movie_ratings.sources.fetch_report import FetchReport
from movie_ratings.sources.tables import cells, records
from movie_ratings.sources.tables.reader import Options, Reader
from movie_ratings.sources.tables.table import Table
from stages import fetch
from tests.support.builders import ROOT


def written(path: Path, *rows: dict[str, Any]) -> Path:
    """A CSV file with the keys of the first row as its header."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def read(path: Path, **mapping: Any) -> tuple[list[dict[str, Any]], Any]:
    """The movies of a table as fetch reads it, and the report."""
    reader = Reader(Table(path), Options("files", records.FIELDS, mapping, "fetch.files.mapping"))
    report = reader.report()
    movies: list[dict[str, Any]] = []
    for part in reader.parts():
        chunk = part()
        found, broken = reader.convert(chunk)
        report.add(chunk, found, len(broken))
        movies += found.movies.to_pylist()
    return movies, report


FILM = {"title": "Harbour", "overview": "A pilot leaves home.", "vote_average": "7"}


def test_what_a_typed_column_holds_that_no_movie_has_is_not_known_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    days = pa.array([10**13, 0, -(10**11), None], pa.timestamp("s"))
    genres = pa.array([["Drama", None], [None], [], None], pa.list_(pa.string()))
    rows = {name: [value] * 4 for name, value in FILM.items()}
    pq.write_table(pa.table(rows | {"release_date": days, "genres": genres}), path)
    movies, report = read(path)
    assert [movie["release_date"] for movie in movies] == [None, date(1970, 1, 1), None, None]
    assert report.unread == {"release_date": 2}
    assert report.first_unread["release_date"][0] == 1
    assert [movie["genres"] for movie in movies] == [["Drama"], [], [], None]


@pytest.mark.parametrize(
    ("rows", "field", "expected"),
    [
        pytest.param([{"released": "N/A", "year": "1960"}], "release_date", [date(1960, 1, 1)], id="no-day"),
        pytest.param([{"released": "5 May 1961", "year": "1960"}], "release_date", [date(1961, 5, 5)], id="day-first"),
        pytest.param([{"Date": "2024-05-01", "Year": "1950"}], "release_date", [date(1950, 1, 1)], id="day-of-viewing"),
        pytest.param([{"Date": "2004-05-01"}], "release_date", [date(2004, 5, 1)], id="only-a-date"),
        pytest.param([{"rating": "PG-13", "score": "6.5"}], "vote_average", [6.5], id="certificate"),
        pytest.param(
            [{"rating": text, "score": "6"} for text in ("12", "PG", "R")], "vote_average", [6, 6, 6], id="age-limit"
        ),
        pytest.param([{"Title": "", "title": "B"}], "title", ["B"], id="empty-title"),
        pytest.param([{"title": "", "original_title": "Été"}], "title", ["Été"], id="original-title"),
        pytest.param([{"Language": "English, French"}], "spoken_languages", [["English", "French"]], id="names"),
        pytest.param([{"Language": "en"}], "original_language", ["en"], id="code"),
        pytest.param([{"Language": "en"}], "spoken_languages", [None], id="code-is-no-name"),
        pytest.param([{"Star1": "A B", "Star2": "", "Star3": "C D"}], "cast", [["A B", "C D"]], id="numbered"),
        pytest.param([{"imdbID": "tt0111161"}], "id", [111161], id="imdb"),
        pytest.param([{"imdbVotes": "1,234"}], "vote_count", [1234], id="imdb-votes"),
        pytest.param([{"Runtime (mins)": "98"}], "runtime", [98], id="runtime-mins"),
        pytest.param([{"Writer": "A B, C D"}], "writers", [["A B", "C D"]], id="writer"),
        pytest.param([{"Cinematography": "A B"}], "cinematographers", [["A B"]], id="cinematography"),
        pytest.param([{"Music by": "A B"}], "composers", [["A B"]], id="music-by"),
        pytest.param([{"Music": "1"}], "composers", [None], id="mark-of-a-genre-is-no-composer"),
        pytest.param([{"Studio": "", "Company": "Quay"}], "companies", [["Quay"]], id="company"),
        pytest.param([{"production_companies": '["Quay", "1818"]'}], "companies", [["Quay", "1818"]], id="number-name"),
        pytest.param([{"Producer 1": "A B", "Producer 2": "C D"}], "producers", [["A B", "C D"]], id="producers"),
        pytest.param([{"country_of_origin": "France; Italy"}], "countries", [["France", "Italy"]], id="country"),
        pytest.param([{"plot_keywords": "harbour|ice"}], "keywords", [["harbour", "ice"]], id="keywords"),
        pytest.param([{"series": "Saga"}], "collection", [None], id="series-is-no-collection"),
        pytest.param([{"Budget": "$1,000,000"}, {"Budget": "0"}], "budget", [1_000_000, None], id="budget"),
        pytest.param([{"Budget": "ITL 45000"}, {"Budget": 10**11}], "budget", [None, None], id="other-currencies"),
        pytest.param([{"original_release_date": "2001-02-03"}], "release_date", [date(2001, 2, 3)], id="original-day"),
    ],
)
def test_the_column_that_holds_the_field_wins(
    tmp_path: Path, rows: list[dict[str, str]], field: str, expected: list[Any]
) -> None:
    names = {name.casefold() for name in rows[0]}
    other = {key: value for key, value in FILM.items() if key not in names}
    if names & {"rating"}:
        del other["vote_average"]
    movies, _ = read(written(tmp_path / "t.csv", *(other | row for row in rows)))
    assert [movie[field] for movie in movies] == expected


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("Saga Collection", "Saga Collection"),
        ("{'id': 10, 'name': \"Saga's Collection\", 'poster_path': '/" + "x" * 300 + "'}", "Saga's Collection"),
        ('{"id": 10, "name": "Saga Collection", "poster_path": null}', "Saga Collection"),
        ("300 Collection", "300 Collection"),
        ("{}", None),
        ("", None),
        ("48000000", None),  # what a film took in
        ("{'name': 7}", None),
        ("{'name'", None),
        ("[" * 9_000, None),
    ],
)
def test_a_collection_is_a_name_or_an_object_with_one(tmp_path: Path, cell: str, expected: str | None) -> None:
    (movie,), report = read(written(tmp_path / "t.csv", FILM | {"belongs_to_collection": cell}))
    assert movie["collection"] == expected
    assert bool(report.unread) == (expected is None and cell not in ("", "{}"))


def test_typed_columns_hold_the_new_fields_as_written_ones_do(tmp_path: Path) -> None:
    row = {
        "title": "A", "overview": "B", "vote_average": 7.0, "belongs_to_collection": {"id": 1, "name": "Saga"},
        "production_companies": [{"name": "Quay"}], "writers": ["C D"], "budget": 2.5e6,
    }  # fmt: skip
    pq.write_table(
        pa.Table.from_pylist([row, row | {"belongs_to_collection": None, "budget": 0.0}]), tmp_path / "t.parquet"
    )
    (tmp_path / "t.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(row | {"belongs_to_collection": {}}) + "\n")
    for name, budgets in (("t.parquet", [2_500_000, None]), ("t.jsonl", [2_500_000, 2_500_000])):
        movies, report = read(tmp_path / name)
        assert [movie["collection"] for movie in movies] == ["Saga", None]
        assert [movie["companies"] for movie in movies] == [["Quay"]] * 2
        assert [movie["writers"] for movie in movies] == [["C D"]] * 2
        assert [movie["budget"] for movie in movies] == budgets
        assert not report.unread


@pytest.mark.parametrize(
    ("text", "expected"),
    [("$237000000", 237_000_000), ("US$ 2.5 million", 2_500_000), ("1.5M USD", 1_500_000), ("30,000", 30_000)],
)
def test_budgets_are_read_as_people_write_them(text: str, expected: int) -> None:
    assert cells.dollars(text) == expected


@pytest.mark.parametrize("text", ["\u20ac1,000", "ITL 45000", "$", "a lot", "1.5"])
def test_what_is_no_amount_of_dollars_is_not_read(text: str) -> None:
    with pytest.raises(ValueError):
        cells.dollars(text)


def test_ratings_come_from_one_column_because_columns_have_scales(tmp_path: Path) -> None:
    rows = [FILM | {"imdb_rating": "8"}, FILM | {"vote_average": "", "imdb_rating": "80"}]
    movies, _ = read(written(tmp_path / "t.csv", *rows))
    assert [movie["vote_average"] for movie in movies] == [7.0, None]


def test_a_mapping_joins_columns_takes_the_first_that_can_be_read_or_switches_a_field_off(tmp_path: Path) -> None:
    row = FILM | {"id": "5", "Lead": "A B", "Second": "C D", "shown": "?", "made": "1999"}
    path = written(tmp_path / "t.csv", row)
    (movie,), report = read(path, cast=["Lead", "Second"], release_date=["shown", "made"], id=None)
    assert movie["cast"] == ["A B", "C D"]
    assert movie["release_date"] == date(1999, 1, 1)
    assert movie["id"] != 5
    assert list(report.unused) == ["id"]
    with pytest.raises(UserError, match=r"fetch\.files\.mapping\.cast: no column 'Third'; it has title, overview"):
        read(path, cast=["Lead", "Third"])


def test_an_id_is_trusted_only_where_it_identifies(tmp_path: Path) -> None:
    films = [FILM | {"title": f"Film {n}"} for n in range(3)]
    unique = written(tmp_path / "unique.csv", *({"id": n} | film for n, film in enumerate(films, 1)))
    assert [movie["id"] for movie in read(unique)[0]] == [1, 2, 3]
    repeated = written(tmp_path / "repeated.csv", *({"id": 7} | film for film in films))
    movies, report = read(repeated)
    assert len({movie["id"] for movie in movies} - {7}) == 3
    assert report.unused == {"id": "its numbers do not identify a film"}
    named = written(tmp_path / "named.csv", *({"tmdb_id": 7} | film for film in films))
    assert {movie["id"] for movie in read(named)[0]} == {7}


def test_the_rows_of_two_tables_that_number_their_rows_are_all_different_movies(
    raw_params: dict[str, Any], workspace: Path
) -> None:
    for table in ("one", "two"):
        written(Path(f"{table}.csv"), *({"id": n} | FILM | {"title": f"{table} {n}"} for n in range(1, 4)))
    raw_params["fetch"] |= {"source": "files"}
    raw_params["fetch"]["files"]["paths"] = ["one.csv", "two.csv"]
    batches = selected.batches(params.parse(raw_params).fetch, FetchReport())
    ids = [row["id"] for row in pa.Table.from_batches(list(batches), MOVIE).to_pylist()]
    assert len(set(ids)) == 6


def test_a_dry_run_says_what_fetch_does_with_the_ids_of_two_tables(
    raw_params: dict[str, Any], workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for table in ("one", "two"):
        written(Path(f"{table}.csv"), {"id": 1} | FILM)
    raw_params["fetch"] |= {"source": "files"}
    raw_params["fetch"]["files"]["paths"] = ["one.csv", "two.csv"]
    YAML().dump(raw_params, Path("params.yaml"))
    assert fetch.main(["--dry-run"]) == 0
    assert capsys.readouterr().out.count("not read: id (its numbers do not identify a film)") == 2
    assert fetch.main(["--describe", "one.csv", "two.csv"]) == 0
    assert capsys.readouterr().out.count("from id (by its name)") == 2


def test_a_header_without_end_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("title," + ",".join(map(str, range(400_000))) + "\nA\n")
    start = time.process_time()
    with pytest.raises(UserError, match=r"t\.csv: 400,001 columns, more than 1,000; leave out"):
        MovieTable(path)
    assert time.process_time() - start < 10


def test_what_was_read_is_reported(tmp_path: Path) -> None:
    rows = [
        FILM | {"rating": "R", "Runtime": "90", "Poster": "A"},
        FILM | {"rating": "PG", "Runtime": "long", "Poster": ""},
    ]
    _, report = read(written(tmp_path / "t.csv", *rows))
    assert report.lines()[1:] == [
        "  title        from title (by its name)",
        "  summary      from overview (by its name)",
        "  runtime      from Runtime (by its name); 1 value cannot be read, the first in line 3: 'long'",
        "  vote_average from vote_average (by its name)",
        "  not read: rating (its values are no ratings, such as 'R'), Poster",
    ]
    found = report.as_dict()
    assert found["fields"]["runtime"] == {
        "columns": ["Runtime"], "rule": "by its name", "unread": 1, "line": 3, "value": "'long'",
    }  # fmt: skip
    assert found["unused"] == ["rating", "Poster"]


def test_ratings_above_the_scale_name_the_parameter(raw_params: dict[str, Any], workspace: Path) -> None:
    written(Path("t.csv"), *(FILM | {"title": f"Film {n}", "vote_average": n} for n in range(100)))
    raw_params["fetch"] |= {"source": "files"}
    raw_params["fetch"]["files"]["paths"] = ["t.csv"]
    with pytest.raises(UserError, match=r"t\.csv: 89 of 100 ratings are above 10, .* set fetch\.files\.rating_scale"):
        list(selected.batches(params.parse(raw_params).fetch, FetchReport()))


def test_any_table_is_described_without_writing(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text())
    written(Path("t.csv"), FILM | {"id": 7, "Poster": "x"})
    written(Path("u.csv"), {"name": "Harbour", "year": 1999})
    assert fetch.main(["--describe", "t.csv"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("t.csv: 1 rows\n  id           from id (by its name)\n  title        from title")
    assert out.endswith("  not read: Poster\n")
    assert fetch.main(["--describe", "t.csv", "u.csv"]) == 2
    out, err = capsys.readouterr()
    assert "u.csv: 1 rows\n  title        from name" in out
    assert err.startswith(
        "error: no column for summary (such as summary or overview); it has name, year; name the column"
    )
    assert fetch.main(["--dry-run"]) == 2
    assert "fetch.source: sample reads no tables" in capsys.readouterr().err
    assert sorted(path.name for path in Path().iterdir()) == ["params.yaml", "t.csv", "u.csv"]


NAMES = {
    "title": ["title", "Title", "Series_Title", "movie_title", "Name"],
    "summary": ["overview", "summary", "Plot", "description"],
    "genres": ["genres", "Genre", "listed_in"],
    "cast": ["cast", "Actors", "Stars"],
    "directors": ["Director", "directors", "directed by"],
    "writers": ["Writer", "screenplay", "written by"],
    "companies": ["production_companies", "Studio"],
    "countries": ["production_countries", "Country", "Country of Origin"],
    "collection": ["belongs_to_collection", "Collection"],
    "budget": ["budget", "Production Budget"],
    "release_date": ["release_date", "Released", "Release Date"],
    "runtime": ["runtime", "Runtime (mins)", "duration"],
    "vote_average": ["vote_average", "IMDB_Rating", "score"],
    "vote_count": ["vote_count", "No_of_Votes", "imdbVotes"],
}
LISTS = [
    ", ".join,
    "|".join,
    "; ".join,
    json.dumps,
    str,
    lambda names: str(tuple(names)),
    lambda names: "[" + " ".join(map(repr, names)) + "]",
    lambda names: json.dumps([{"name": name} for name in names]),
]
DAYS = [date.isoformat, *(lambda day, form=form: day.strftime(form) for form in ("%d %B %Y", "%B %d, %Y", "%d-%b-%Y"))]
MINUTES = [str, "{} min".format, "PT{}M".format, lambda n: f"{n // 60}h {n % 60}m"]
COUNTS = [str, "{:,}".format, "({:,})".format]
COLLECTIONS = [str, lambda name: str({"id": 7, "name": name}), lambda name: json.dumps({"id": 7, "name": name})]
BUDGETS = [str, "${:,}".format, "US$ {}".format]
texts = (
    st.text(st.sampled_from("abc é'ő"), min_size=1, max_size=9)
    .map(str.strip)
    .filter(lambda text: text not in ("", "na"))
)
people = st.lists(st.sampled_from(["Ada Lo", "Bo Élan", "Cy Day", "Di Fox"]), min_size=1, max_size=3, unique=True)
films = st.fixed_dictionaries(
    {
        "title": texts.filter(lambda text: text != "na"),
        "summary": texts,
        "genres": people,
        "cast": people,
        "directors": people,
        "writers": people,
        "companies": people,
        "countries": people,
        "collection": st.sampled_from(["Ada's Saga", "300 Élan", None]),
        "budget": st.integers(1, 10**10) | st.none(),
        "release_date": st.dates(date(1931, 1, 1), date(2029, 12, 31)),
        "runtime": st.integers(61, 300),
        "vote_average": st.integers(10, 100).map(lambda tenths: tenths / 10),
        "vote_count": st.integers(0, 10**7),
    }
)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    movies=st.lists(films, min_size=1, max_size=5),
    names=st.fixed_dictionaries({field: st.sampled_from(some) for field, some in NAMES.items()}),
    order=st.permutations(sorted(NAMES)),
    spelled=st.tuples(*(st.sampled_from(some) for some in (LISTS, DAYS, MINUTES, COUNTS, COLLECTIONS, BUDGETS))),
    separator=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_a_table_in_any_writing_comes_back_as_it_was(
    tmp_path: Path,
    movies: list[dict[str, Any]],
    names: dict[str, str],
    order: list[str],
    spelled: tuple[Any, ...],
    separator: str,
    encoding: str,
    end: str,
) -> None:
    as_list, as_day, as_minutes, as_count, as_collection, as_budget = spelled
    spellings = dict.fromkeys(("genres", "cast", "directors", "writers", "companies", "countries"), as_list) | {
        "release_date": as_day, "runtime": as_minutes, "vote_count": as_count, "collection": as_collection,
        "budget": as_budget,
    }  # fmt: skip
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=separator, lineterminator=end)
    writer.writerow([names[field] for field in order])
    writer.writerows(
        ["" if movie[field] is None else spellings.get(field, str)(movie[field]) for field in order] for movie in movies
    )
    path = tmp_path / "t.csv"
    path.write_bytes(file.getvalue().encode(encoding))
    found, report = read(path)
    assert [{field: row[field] for field in NAMES} for row in found] == movies
    assert not report.unused
    batch = [movie for batch in MovieTable(path).batches(100) for movie in batch.movies]
    for movie, expected in zip(batch, movies, strict=True):
        assert movie["year"] == expected["release_date"].year
        read_by_models = [field for field in text.FIELDS if field in NAMES]
        assert [movie[field] for field in read_by_models] == [expected[field] for field in read_by_models]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("['Action' 'Science Fiction']", ["Action", "Science Fiction"]),
        ("['Action'\n \"Hand's\"]", ["Action", "Hand's"]),
        ("('Action', 'Drama')", ["Action", "Drama"]),
        ("('Drama',)", ["Drama"]),
        ("{'b', 'a'}", ["a", "b"]),
        ("[Action, Drama]", ["Action", "Drama"]),
        ("Action/Drama", ["Action", "Drama"]),
        ("Action\nDrama", ["Action", "Drama"]),
        ("Action · Drama", ["Action", "Drama"]),
        ("(500) Days", ["(500) Days"]),
    ],
)
def test_lists_are_read_as_people_write_them(text: str, expected: list[str]) -> None:
    assert cells.names(text) == expected


def test_a_cell_that_is_made_to_be_slow_is_not_read_for_long(tmp_path: Path) -> None:
    slow = ["['" + r" \'" * 200_000, "['a' " * 90_000, "[" * 400_000, "['a', " * 80_000, "[" + "1," * 240_000 + "1]"]
    rows = [FILM | {"genres": cell, "released": "1 " * 9_000, "votes": "1,111" * 9_000} for cell in slow]
    path = written(tmp_path / "t.csv", *rows)
    start = time.process_time()
    _, report = read(path)
    assert time.process_time() - start < 10
    assert report.unread == {"genres": 5, "release_date": 5, "vote_count": 5}


@pytest.mark.parametrize("text", ["7", "[1, 2]", "[[1]]", "[", "{'a': 1}", "[{'id': 3}]", "[None]"])
def test_what_is_no_list_of_names_is_not_read(text: str) -> None:
    with pytest.raises(ValueError):
        cells.names(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("76%", 7.6), ("3.5/5", 7), ("8 / 10", 8), ("4 out of 5", 8), ("7,5", 7.5), ("★★★½", 7), ("★☆", 2)],
)
def test_ratings_with_a_scale_of_their_own(text: str, expected: float) -> None:
    assert cells.rating(text, 10) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("2h 22m", 142), ("142 mins", 142), ("PT142M", 142), ("PT2H22M", 142), ("2:22", 142), ("2 hrs. 22 min", 142)),
        *(("142'", 142), ("2h", 120), ("1h42", 102), ("1,234 min", 1234), ("98.0", 98), ("1:30:00", 90)),
    ],
)
def test_runtimes_are_read_as_people_write_them(text: str, expected: float) -> None:
    assert cells.minutes(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("12K", 12_000), ("1.2M", 1_200_000), ("(1,234)", 1234), ("1.234", 1234), ("1 234", 1234), ("1,234 votes", 1234)],
)
def test_counts_are_read_as_people_write_them(text: str, expected: int) -> None:
    assert cells.count(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(2009)", date(2009, 1, 1)),
        ("10-Dec-09", date(2009, 12, 10)),
        ("2009-12", date(2009, 12, 1)),
        ("Dec 2009", date(2009, 12, 1)),
        ("1260403200000", date(2009, 12, 10)),
        ("-315619200000", date(1960, 1, 1)),
        ("June 1, 1960 (United States)", date(1960, 6, 1)),
        ("Friday, December 18, 2009", date(2009, 12, 18)),
        ("18th December 2009", date(2009, 12, 18)),
        ("2009-12-10T00:00:00Z", date(2009, 12, 10)),
        ("2009\u20132013", date(2009, 1, 1)),
    ],
)
def test_days_are_read_as_people_write_them(text: str, expected: date) -> None:
    assert cells.day(text, lambda: False) == expected


@pytest.mark.parametrize("text", ["PG", "Spring 2009", "2010-13-45", "13.14.2000", "12", "99999", "May"])
def test_what_is_no_day_is_not_read(text: str) -> None:
    with pytest.raises(ValueError):
        cells.day(text, lambda: False)
