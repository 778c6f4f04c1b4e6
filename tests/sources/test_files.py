"""Tables as people have them: recognised, read to the last row, and every row that cannot be read named by its line."""

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from movie_ratings import params
from movie_ratings.core.errors import UserError
from movie_ratings.movies.record import MOVIE
from movie_ratings.sources import files, selected
from movie_ratings.sources.fetch_report import FetchReport
from movie_ratings.sources.tables.cells import names
from movie_ratings.sources.tables.chunks import Size
from movie_ratings.sources.tables.table import Table, tables

Read = Callable[..., tuple[list[dict[str, Any]], FetchReport]]


@pytest.fixture
def read(raw_params: dict[str, Any], workspace: Path) -> Read:
    """Read files (or a data set) in the workspace as movies."""

    def run(*paths: str, source: str = "files", **changes: Any) -> tuple[list[dict[str, Any]], FetchReport]:
        raw_params["fetch"]["source"] = source
        raw_params["fetch"]["files"]["paths"] = list(paths)
        raw_params["fetch"][source] |= changes
        report = FetchReport()
        batches = selected.batches(params.parse(raw_params).fetch, report)
        return pa.Table.from_batches(list(batches), MOVIE).to_pylist(), report

    return run


def write(name: str, header: str, *rows: str, encoding: str = "utf-8", end: str = "\n") -> str:
    Path(name).write_bytes("".join(line + end for line in (header, *rows)).encode(encoding))
    return name


PLAIN = "title,overview,vote_average"


def test_a_kaggle_dump_is_recognised(read: Read) -> None:
    dump = (
        "id,title,vote_average,vote_count,status,release_date,runtime,adult,overview,popularity,genres,spoken_languages"
    )
    write(
        "d.csv", dump, '7,The Harbour,6.5,120,Released,2009-12-10,98,False,"A pilot, home.",1.5,"Drama, Crime",French'
    )
    ((movie,), report) = read("d.csv")
    assert movie == dict.fromkeys(MOVIE.names) | {
        "id": 7,
        "source": "files",
        "title": "The Harbour",
        "summary": "A pilot, home.",
        "genres": ["Drama", "Crime"],
        "spoken_languages": ["French"],
        "release_date": date(2009, 12, 10),
        "runtime": 98,
        "vote_average": 6.5,
        "vote_count": 120,
        "popularity": 1.5,
        "adult": False,
    }
    assert report.counts == {"read": 1, "broken": 0}


def test_json_and_python_lists_in_columns_are_read(read: Read) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["movie_id", "title", "overview", "vote_average", "genres", "spoken_languages"])
    people = [{"id": 1, "name": "Comédie"}]
    writer.writerow(["1", "A", "B", "7", json.dumps(people), "[{'iso_639_1': 'fr', 'name': 'Français'}]"])
    writer.writerow(["2", "C", "D", "7", "[]", "[{'iso"])
    Path("t.csv").write_text(text.getvalue())
    (first, second), report = read("t.csv")
    assert (first["genres"], first["spoken_languages"]) == (["Comédie"], ["Français"])
    assert (second["genres"], second["spoken_languages"]) == ([], None)
    assert report.counts["unreadable_spoken_languages"] == 1


def test_semicolons_another_encoding_and_line_breaks_in_quotes(read: Read) -> None:
    header = "Release_Date;Title;Overview;Popularity;Vote_Count;Vote_Average;Original_Language;Genre;Poster_Url"
    rows = [
        '2021-12-15;Été;"Un récit\nde mer; à la mer";5083,954;8.940;8,3;fr;Action, Aventure;https://example.org/1.jpg',
        "2022-03-01;Forêt;Où sont-ils passés;3827;1151;8.1;fr;Crime;https://example.org/2.jpg",
    ]
    write("m.csv", header, *rows, encoding="cp1252", end="\r\n")
    (first, second), report = read("m.csv")
    assert (first["title"], second["title"], second["summary"]) == ("Été", "Forêt", "Où sont-ils passés")
    assert first["summary"].split() == ["Un", "récit", "de", "mer;", "à", "la", "mer"]
    assert (first["vote_average"], first["vote_count"], first["popularity"]) == (8.3, 8940, 5083.954)
    assert first["genres"] == ["Action", "Aventure"]
    assert report.counts == {"read": 2, "broken": 0}


def test_movielens_writes_the_year_into_the_title(read: Read) -> None:
    write(
        "ml.csv",
        "movieId,title,genres,overview,rating",
        "1,Toys (1995),Adventure|Comedy,They live.,4.0",
        "2,Alone,(no genres listed),He waits.,2.5",
    )
    (first, second), _ = read("ml.csv", rating_scale=5.0)
    assert (first["title"], first["release_date"]) == ("Toys", date(1995, 1, 1))
    assert (first["genres"], first["vote_average"]) == (["Adventure", "Comedy"], 8.0)
    assert (second["title"], second["release_date"], second["genres"]) == ("Alone", None, [])


def test_json_lines_parquet_and_packed_files_are_read_in_order(read: Read) -> None:
    movies = [
        {"title": f"Film {n}", "overview": "Story.", "vote_average": n, "genres": [{"name": "Drama"}], "runtime": 90.0}
        for n in range(6)
    ]
    Path("a.jsonl").write_text("".join(json.dumps(movie) + "\n" for movie in movies[:2]))
    pq.write_table(pa.Table.from_pylist(movies[2:4]), "b.parquet")
    with gzip.open("c.jsonl.gz", "wt") as file:
        file.write(json.dumps(movies[4]) + "\n")
    with zipfile.ZipFile("d.zip", "w") as archive:
        archive.writestr("read me.md", "no table")
        archive.writestr("d.tsv", "title\toverview\tvote_average\tgenres\truntime\nFilm 5\tStory.\t5\tDrama\t90\n")
    found, report = read("a.jsonl", "b.parquet", "c.jsonl.gz", "d.zip")
    assert [movie["title"] for movie in found] == [f"Film {n}" for n in range(6)]
    assert [movie["vote_average"] for movie in found] == [0, 1, 2, 3, 4, 5]
    assert {tuple(movie["genres"]) for movie in found} == {("Drama",)}
    assert {movie["runtime"] for movie in found} == {90}
    assert report.counts == {"read": 6, "broken": 0}


def test_a_table_of_an_archive_can_be_named(read: Read) -> None:
    with zipfile.ZipFile("archive.zip", "w") as archive:
        archive.writestr("tmdb/credits.csv", "movie_id,title,cast,crew\n1,Film,[],[]\n")
        archive.writestr("tmdb/movies.csv", f"{PLAIN}\nFilm,Story.,7\n")
        archive.writestr("__MACOSX/tmdb/._movies.csv", b"\0\5\26\7")
    with pytest.raises(UserError, match=r"archive\.zip/tmdb/credits\.csv: no column for summary"):
        read("archive.zip")
    assert len(read("archive.zip/tmdb/movies.csv")[0]) == 1
    with pytest.raises(
        UserError, match=r"archive\.zip: no table 'movies\.csv' in .*; it has tmdb/credits\.csv, tmdb/m"
    ):
        read("archive.zip/movies.csv")


def test_a_data_set_in_a_folder_is_read_like_a_table(read: Read, tmp_path: Path) -> None:
    rows = [{"Name": f"Film {n}", "plot": "Story.", "rating": 7.5, "genres": ["Drama"]} for n in range(3)]
    DatasetDict({"train": Dataset.from_list(rows), "test": Dataset.from_list(rows[:1])}).save_to_disk("saved")
    found, report = read(source="hub", name="saved", mapping={"title": "Name"})
    assert [movie["title"] for movie in found] == ["Film 0", "Film 1", "Film 2"]
    assert (found[0]["source"], found[0]["genres"], found[0]["vote_average"]) == ("hub", ["Drama"], 7.5)
    assert report.counts == {"read": 3, "broken": 0}
    assert len(read(source="hub", name="saved", split="test")[0]) == 1
    Path("plain").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), "plain/train.parquet")
    assert len(read(source="hub", name="plain", split="train")[0]) == 3
    with pytest.raises(UserError, match=r"fetch\.hub: nowhere/at-all \(train\): ") as error:
        read(source="hub", name="nowhere/at-all")
    assert "\n" not in str(error.value)


def test_the_files_of_a_data_set_that_disagree_are_one_line(read: Read, tmp_path: Path) -> None:
    Path("mixed").mkdir()
    pq.write_table(pa.table({"title": ["A"], "plot": ["Story."], "rating": [7.5]}), "mixed/a.parquet")
    pq.write_table(pa.table({"name": ["B"], "plot": [["Story."]], "score": ["8"]}), "mixed/b.parquet")
    with pytest.raises(UserError, match=r"fetch\.hub: mixed \(train\): ") as error:
        read(source="hub", name="mixed")
    assert "\n" not in str(error.value)


def test_only_an_unreadable_title_summary_or_rating_breaks_a_row(
    read: Read, capsys: pytest.CaptureFixture[str]
) -> None:
    write(
        "x.csv",
        f"{PLAIN},release_date,runtime,vote_count,adult",
        "A,One.,7,soon,long,many,perhaps",
        "B,Two.,seven,2001-01-01,90,5,False",
        "C,Three.",
        "D,Four.,7.5,2001-01-01,90,5,False,,,",
        "E,Five.,,2001-01-01,90,5,False",
        "F,Six.,6",
        "G,Seven.,6,2001-01-01,90,5,False,surplus",
    )
    found, report = read("x.csv", max_bad_share=0.5)
    assert [movie["title"] for movie in found] == ["A", "D", "E", "F"]
    assert found[0] | {"release_date": None, "runtime": None, "vote_count": None, "adult": None} == found[0]
    assert found[2]["vote_average"] is None  # absent is not unreadable; clean drops it and counts it
    unreadable = {f"unreadable_{name}": 1 for name in ("adult", "release_date", "runtime", "vote_count")}
    assert report.counts == {"read": 4, "broken": 3} | unreadable
    assert [(entry["line"], entry["reason"]) for entry in report.failed] == [
        (3, "the rating 'seven' is no number"),
        (4, "2 cells, the header has 7"),
        (8, "8 cells, the header has 7"),
    ]
    assert "x.csv line 3: the rating 'seven' is no number; skipped: 'B'" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"max_bad_share: 3 of 7 rows are broken, the first is x\.csv line 3"):
        read("x.csv", max_bad_share=0.02)


def test_a_quote_that_is_never_closed_costs_its_own_line(read: Read) -> None:
    rows = [f'Film {n},"Story {n}, told.",7' for n in range(40)]
    rows[3] = 'Film 3,"Story 3 told.,7'
    write("q.csv", PLAIN, *rows)
    found, report = read("q.csv", max_bad_share=0.1)
    assert [movie["title"] for movie in found] == [f"Film {n}" for n in range(40) if n != 3]
    assert [entry["line"] for entry in report.failed] == [5]


@pytest.fixture(params=[16, 1 << 24])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read files in blocks of so many bytes: a few to a row, or all at once."""

    def in_blocks(path: Path, encoding: str) -> list[Table]:
        return [replace(table, size=Size(10_000, request.param)) for table in tables(path, encoding)]

    monkeypatch.setattr(files, "tables", in_blocks)


@pytest.mark.usefixtures("block")
def test_lines_are_counted_through_quotes_and_blocks(read: Read) -> None:
    rows = ['A,"One\n""two"", three",7', "B,Four.,x", "", 'C,"Five,\nsix",7,8', "D,Seven.,9", "E,Eight", "F,Nine.,5"]
    write("l.csv", PLAIN, *rows, end="\r\n")
    found, report = read("l.csv", max_bad_share=0.5)
    assert [movie["title"] for movie in found] == ["A", "D", "F"]
    assert found[0]["summary"] == 'One\n"two", three'
    assert [(entry["line"], entry["reason"]) for entry in report.failed] == [
        (4, "the rating 'x' is no number"),
        (6, "4 cells, the header has 3"),
        (9, "2 cells, the header has 3"),
    ]


@pytest.mark.usefixtures("block")
def test_a_quote_inside_a_cell_is_a_letter(read: Read) -> None:
    write("q.csv", PLAIN, 'The 6" Man,Six.,6', 'B,"Seven, and ""more""",7', "C,5' 3\" tall.,8")
    found, _ = read("q.csv")
    assert [(movie["title"], movie["summary"]) for movie in found] == [
        ('The 6" Man', "Six."),
        ("B", 'Seven, and "more"'),
        ("C", "5' 3\" tall."),
    ]


@pytest.mark.usefixtures("block")
def test_a_carriage_return_inside_a_line_is_a_space(read: Read) -> None:
    write("r.csv", PLAIN, "A,One\rand more.,6", 'B,"Two\rand more.",7', "C,Three.,8")
    found, report = read("r.csv")
    assert [movie["summary"].split() for movie in found] == [
        ["One", "and", "more."],
        ["Two", "and", "more."],
        ["Three."],
    ]
    assert report.counts == {"read": 3, "broken": 0}


CELLS = st.lists(st.text(st.sampled_from('ab ,;"\n\ré“')), min_size=3, max_size=3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.lists(CELLS, min_size=1),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    size=st.integers(1, 99),
)
def test_whatever_csv_writes_is_read_as_it_was(tmp_path: Path, rows: list[list[str]], quoting: Any, size: int) -> None:
    path = tmp_path / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=quoting).writerows([["a", "b", "c"], *rows])
    chunks = [part() for part in Table(path, size=Size(10_000, size)).parts(["a", "b", "c"], ["a", "b", "c"])]
    assert [list(row.values()) for chunk in chunks for row in chunk.rows.to_pylist()] == rows
    assert not any(chunk.broken for chunk in chunks)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.lists(st.sampled_from(["a", "b", " ", ",", '"', "\n", "\r\n"]), min_size=1).map("".join))
def test_what_is_read_at_once_is_what_csv_reads(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b,c\n" + text.encode())
    chunks = [part() for part in Table(path).parts(["a", "b", "c"], ["a", "b", "c"])]
    if any(chunk.broken for chunk in chunks):
        return
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    # Empty cells behind the last column are nothing.
    assert [list(row.values()) for chunk in chunks for row in chunk.rows.to_pylist()] == [row[:3] for row in rows]
    assert not any(cell.strip() for row in rows for cell in row[3:])


def test_lines_that_end_in_a_carriage_return_alone_are_lines(read: Read) -> None:
    write("m.csv", PLAIN, "A,One.,7", "B,Two.,x", "C,Three.,8", end="\r")
    found, report = read("m.csv", max_bad_share=0.5)
    assert [movie["title"] for movie in found] == ["A", "C"]
    assert report.failed[0]["line"] == 3


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_a_byte_order_mark_is_no_part_of_a_name(read: Read, encoding: str) -> None:
    write("b.csv", f"\ufeff{PLAIN}", "Été,Un récit.,7", encoding=encoding)
    ((movie,), _) = read("b.csv")
    assert (movie["title"], movie["summary"]) == ("Été", "Un récit.")


def test_a_broken_line_of_json_costs_itself_wherever_it_stands(read: Read) -> None:
    movies = [json.dumps({"title": f"Film {n}", "overview": "Story.", "vote_average": n}) for n in range(6)]
    Path("a.jsonl").write_text("\n".join(['{"title": ', *movies[:3], "[7]", *movies[3:], "[" * 100_000]))
    found, report = read("a.jsonl", max_bad_share=0.5)
    assert [movie["title"] for movie in found] == [f"Film {n}" for n in range(6)]
    assert [entry["line"] for entry in report.failed] == [1, 5, 9]


def test_one_column_can_be_two_fields(read: Read) -> None:
    write("o.csv", "original_title,overview,vote_average", "Été,Un récit.,7")
    ((movie,), _) = read("o.csv", mapping={"title": "original_title"})
    assert movie["title"] == movie["original_title"] == "Été"


def test_typed_columns_are_read_as_strictly_as_text(read: Read) -> None:
    rows = [
        {"id": 2**53 + 1, "title": "A", "overview": "One.", "rating": 7.5, "votes": 2.5, "runtime": 0.0, "date": 2001},
        {
            "id": 5,
            "title": "B",
            "overview": "Two.",
            "rating": float("nan"),
            "votes": 30.0,
            "runtime": 97.6,
            "date": 2002,
        },
    ]
    pq.write_table(pa.Table.from_pylist(rows), "t.parquet")
    (first, second), report = read("t.parquet")
    assert (first["id"], first["vote_count"], first["runtime"]) == (2**53 + 1, None, None)
    assert (second["vote_count"], second["runtime"], second["vote_average"]) == (30, 98, None)
    assert report.counts == {"read": 2, "broken": 0, "unreadable_vote_count": 1}
    write(
        "t.csv", "id,title,overview,rating", f"{2**53 + 1},A,One.,7", f"{2**53},B,Two.,7", f" {2**53 + 2} ,C,Three.,7"
    )
    assert [movie["id"] for movie in read("t.csv")[0]] == [2**53 + 1, 2**53, 2**53 + 2]


def test_a_column_of_another_kind_breaks_its_rows(read: Read) -> None:
    pq.write_table(pa.table({"title": [["A"]], "overview": ["One."], "rating": [7.0]}), "k.parquet")
    found, report = read("k.parquet", max_bad_share=1.0)
    assert (found, report.failed[0]["reason"]) == ([], "the title ['A'] is no text")


def test_columns_of_many_types_are_read(read: Read) -> None:
    day = datetime(2001, 2, 3, 12, tzinfo=UTC)
    columns = {
        "id": pa.array([7], pa.uint64()),
        "title": pa.array(["A"]).dictionary_encode(),
        "overview": pa.array([b"One."], pa.large_binary()),
        "rating": pa.array([Decimal("7.5")]),
        "released": pa.array([day], pa.timestamp("us", "UTC")),
        "genres": pa.array([["Drama"]], pa.large_list(pa.large_string())),
        "adult": pa.array([0.0]),
        "cast": pa.array([None], pa.null()),
    }
    pq.write_table(pa.table(columns), "m.parquet")
    ((movie,), report) = read("m.parquet")
    assert (movie["id"], movie["title"], movie["summary"], movie["vote_average"]) == (7, "A", "One.", 7.5)
    assert (movie["release_date"], movie["genres"], movie["adult"]) == (date(2001, 2, 3), ["Drama"], False)
    assert report.counts == {"read": 1, "broken": 0}
    pq.write_table(pa.table(columns | {"overview": pa.array([b"\xff"])}), "m.parquet")
    with pytest.raises(UserError, match=r"m\.parquet: a column that cannot be read \(.*UTF8"):
        read("m.parquet")


def test_bytes_that_the_encoding_does_not_allow_break_their_row_alone(read: Read) -> None:
    lines = [f"Film {n},Story.,7" for n in range(60_000)]
    Path("u.csv").write_bytes(b"\n".join([PLAIN.encode(), *(line.encode() for line in lines), b"B\xff,Story.,7"]))
    found, report = read("u.csv")
    assert len(found) == 60_000
    assert [(entry["line"], entry["reason"]) for entry in report.failed] == [(60_002, "bytes that are no text")]


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        (["3/4/2005", "25/12/2006"], [date(2005, 4, 3), date(2006, 12, 25)]),
        (["3/4/2005", "12/25/2006"], [date(2005, 3, 4), date(2006, 12, 25)]),
        (["3.4.2005"], [date(2005, 4, 3)]),
        (["3/4/2005"], [date(2005, 3, 4)]),
        (["12/10/09", "13/10/71"], [date(2009, 10, 12), date(1971, 10, 13)]),
        (["10 December 2009", "Dec 9, 2009", "2009", "2009-12-10 00:00:00", "20091210"], None),
    ],
)
def test_dates_are_day_first_or_month_first_as_the_whole_column_says(
    read: Read, dates: list[str], expected: list[date] | None
) -> None:
    write("d.csv", f"{PLAIN},released", *(f'Film,Story.,7,"{day}"' for day in dates))
    found = [movie["release_date"] for movie in read("d.csv")[0]]
    assert found == (expected or [date(2009, 12, 10), date(2009, 12, 9), date(2009, 1, 1)] + 2 * [date(2009, 12, 10)])


def test_a_movie_without_an_id_gets_one_that_stays(read: Read) -> None:
    write("i.csv", f"{PLAIN},date", "A,One.,7,2001-01-01", "B,Two.,7,2001-01-01")
    (a, b), _ = read("i.csv")
    write("i.csv", f"{PLAIN},date", "B,Two and more.,8,2001-01-01")
    ((again,), _) = read("i.csv")
    assert a["id"] != b["id"] == again["id"] > 0


def test_a_column_that_cannot_be_found_is_named(read: Read) -> None:
    write("c.csv", "Werk,overview,vote_average", "A,B,7")
    with pytest.raises(
        UserError, match=r"c\.csv: no column for title .*; it has Werk, overview, vote_average; name the"
    ):
        read("c.csv")
    assert read("c.csv", mapping={"title": "Werk"})[0][0]["title"] == "A"
    with pytest.raises(UserError, match=r"c\.csv: fetch\.files\.mapping\.title: no column 'Films'; it has Werk,"):
        read("c.csv", mapping={"title": "Films"})
    with pytest.raises(UserError, match=r"fetch\.files\.mapping\.tittle"):
        read("c.csv", mapping={"tittle": "Werk"})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, r"none\.csv: no such file"),
        ("empty.csv", b"", r"empty\.csv: empty, expected a line of column names"),
        (
            "cut.csv.gz",
            gzip.compress(b"title,overview,vote_average\n" * 999)[:-9],
            r"cut\.csv\.gz: not a readable file",
        ),
        ("no.zip", b"PK", r"no\.zip: not a readable archive"),
        ("no.parquet", b"PAR1", r"no\.parquet: not a readable file"),
        ("film.doc", b"", r"film\.doc: expected a name that ends in \.csv"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(read: Read, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        read(name)
    assert "\n" not in str(error.value)
    assert str(error.value).count(name) == 1


def test_a_file_that_dvc_does_not_watch_is_pointed_out(read: Read, capsys: pytest.CaptureFixture[str]) -> None:
    Path("inputs").mkdir()
    write("inputs/in.csv", PLAIN, "A,One.,7")
    write("out.csv", PLAIN, "B,Two.,7")
    assert len(read("inputs/in.csv", "out.csv")[0]) == 2
    assert capsys.readouterr().err == "out.csv: not in inputs/, so that dvc will not see when it changes\n"


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("Drama", ["Drama"]),
        ("Drama, Science Fiction", ["Drama", "Science Fiction"]),
        ("A|B", ["A", "B"]),
        ('["A", "B, C"]', ["A", "B, C"]),
        ("[{'name': \"Hand's\"}, {'id': 3}]", ["Hand's"]),
        (" , ", []),
    ],
)
def test_names_are_found_in_a_cell(cell: str, expected: list[str]) -> None:
    assert names(cell) == expected
