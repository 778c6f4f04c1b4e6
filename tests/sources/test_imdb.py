"""IMDb's tables: small ones of our own, in a folder or from a server of our own."""

import gzip
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from movie_ratings import params
from movie_ratings.core import storage
from movie_ratings.core.errors import UserError
from movie_ratings.movies.record import MOVIE
from movie_ratings.sources import imdb, selected
from movie_ratings.sources.fetch_report import FetchReport
from movie_ratings.sources.imdb import people, tsv
from stages import clean, fetch
from tests.support.builders import ROOT
from tests.support.downloads import File, FileServer

Given = dict[str, str]
Fetched = Callable[..., tuple[pa.Table, FetchReport]]

NO = "\\N"
BASICS = [
    "tconst", "titleType", "primaryTitle", "originalTitle", "isAdult", "startYear", "endYear", "runtimeMinutes",
    "genres",
]  # fmt: skip
TABLES: dict[str, list[list[str]]] = {
    "title.basics": [
        BASICS,
        ["tt0000002", "movie", 'The "Long" Harbour', 'Le "long" port', "0", "1994", NO, "98", "Drama,Sci-Fi"],
        ["tt0000001", "movie", '"Unclosed', '"Unclosed', "0", NO, NO, NO, NO],
        ["tt0000003", "tvSeries", "A Series", "A Series", "0", "1999", "2003", "45", "Comedy"],
        ["tt0000004", "movie", "Adult", "Adult", "1", "1999", NO, "80", "Adult"],
        ["tt0000005", "movie", "Without a Rating", "Without a Rating", "0", "1999", NO, "80", "Drama"],
        ["tt0000006", "tvMovie", "Télé", "Télé", "0", "2001", NO, "60", "Drama"],
        ["tt10000007", "movie", "Crew without Names", "Crew without Names", "0", "2020", NO, "0", "Horror"],
    ],
    "title.ratings": [
        ["tconst", "averageRating", "numVotes"],
        ["tt0000001", "4.5", "7"],
        ["tt0000002", "7.9", "1234"],
        ["tt0000003", "8.0", "99"],
        ["tt0000004", "5.0", "50"],
        ["tt0000006", "6.1", "60"],
        ["tt0000099", "9.9", "9"],  # in no other table
        ["tt10000007", "6.0", "40"],
    ],
    "title.crew": [
        ["tconst", "directors", "writers"],
        ["tt0000002", "nm0000002,nm0000001", "nm0000003,nm0000001,nm0000004"],
        ["tt0000001", NO, NO],
        ["tt0000003", "nm0000001", NO],
        ["tt10000007", "nm0000098", "nm0000099,nm0000003"],
    ],
    "title.principals": [
        ["tconst", "ordering", "nconst", "category", "job", "characters"],
        ["tt0000002", "3", "nm0000005", "actress", NO, '["Ann"]'],
        ["tt0000002", "1", "nm0000002", "actor", NO, '["\\"Bo\\""]'],
        ["tt0000002", "2", "nm0000001", "director", NO, NO],
        ["tt0000002", "4", "nm0000002", "self", NO, NO],
        ["tt0000002", "5", "nm0000006", "self", NO, NO],
        ["tt0000002", "6", "nm0000007", "actor", NO, NO],
        ["tt0000001", "1", "nm0000003", "producer", "producer", NO],
        ["tt0000002", "10", "nm0000007", "producer", "producer", NO],
        ["tt0000002", "9", "nm0000001", "producer", "producer", NO],
        ["tt0000002", "11", "nm0000004", "cinematographer", "director of photography", NO],
        ["tt0000002", "12", "nm0000003", "editor", NO, NO],
        ["tt0000002", "8", "nm0000006", "composer", NO, NO],
        ["tt0000002", "13", "nm0000003", "production_designer", NO, NO],
        ["tt0000002", "14", "nm0000098", "writer", NO, NO],
        ["tt0000003", "1", "nm0000004", "actor", NO, NO],
        ["tt0000006", "1", "nm0000004", "actor", NO, NO],
    ],
    "name.basics": [
        ["nconst", "primaryName", "birthYear", "deathYear", "primaryProfession", "knownForTitles"],
        ["nm0000001", 'Ana "Ace" Ba', "1950", NO, "director", "tt0000002"],
        ["nm0000002", "Bo Çi", NO, NO, NO, NO],
        ["nm0000003", "Cy Do", NO, NO, NO, NO],
        ["nm0000004", "Di Em", NO, NO, NO, NO],
        ["nm0000005", "Ed Fu", NO, NO, NO, NO],
        ["nm0000006", "Fe Go", NO, NO, NO, NO],
        ["nm0000007", "Gi Ha", NO, NO, NO, NO],
        ["nm0000098", NO, NO, NO, NO, NO],
    ],
}


def film(number: int, title: str, original: str, rating: float, votes: int, **known: Any) -> dict[str, Any]:
    facts = {"id": number, "source": "imdb", "title": title, "original_title": original, "adult": False}
    lists: dict[str, Any] = {name: [] for name in ("genres", *people.FIELDS)}
    return dict.fromkeys(MOVIE.names) | facts | {"vote_average": rating, "vote_count": votes} | lists | known


UNCLOSED = film(1, '"Unclosed', '"Unclosed', 4.5, 7, producers=["Cy Do"])
HARBOUR = film(
    2,
    'The "Long" Harbour',
    'Le "long" port',
    7.9,
    1234,
    summary='A film of 1994 lasting 98 minutes. It was directed by Bo Çi and Ana "Ace" Ba and written by Cy Do and '
    'Ana "Ace" Ba.',
    genres=["Drama", "Sci-Fi"],
    cast=["Bo Çi", "Ed Fu", "Fe Go"],
    directors=["Bo Çi", 'Ana "Ace" Ba'],
    writers=["Cy Do", 'Ana "Ace" Ba', "Di Em"],
    producers=['Ana "Ace" Ba', "Gi Ha"],
    cinematographers=["Di Em"],
    editors=["Cy Do"],
    composers=["Fe Go"],
    release_date=date(1994, 1, 1),
    runtime=98,
)
NAMELESS = film(
    10000007,
    "Crew without Names",
    "Crew without Names",
    6.0,
    40,
    summary="A film of 2020. It was written by Cy Do.",
    genres=["Horror"],
    writers=["Cy Do"],
    release_date=date(2020, 1, 1),
)
TELEVISION = film(
    6,
    "Télé",
    "Télé",
    6.1,
    60,
    summary="A film of 2001 lasting 60 minutes.",
    genres=["Drama"],
    cast=["Di Em"],
    release_date=date(2001, 1, 1),
    runtime=60,
)


def given(**changed: list[list[str]]) -> Given:
    """The text of each table; changes are named title_crew instead of title.crew."""
    tables = TABLES | {name.replace("_", "."): rows for name, rows in changed.items()}
    return {name: "".join("\t".join(row) + "\n" for row in rows) for name, rows in tables.items()}


def write(folder: Path, texts: Given) -> Path:
    """The tables as files, every other one of them compressed."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, (name, text) in enumerate(texts.items()):
        if place % 2:
            (folder / f"{name}.tsv.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / f"{name}.tsv").write_bytes(text.encode())
    return folder


@pytest.fixture
def fetched(raw_params: dict[str, Any], workspace: Path) -> Fetched:
    """Read tables from the folder ``inputs/imdb``, with changes to fetch.imdb."""

    def run(texts: Given | None = None, **changes: Any) -> tuple[pa.Table, FetchReport]:
        if texts is not None:
            write(Path("inputs/imdb"), texts)
        raw_params["fetch"]["source"] = "imdb"
        raw_params["fetch"]["imdb"] |= {"folder": "inputs/imdb", "cast_size": 3} | changes
        report = FetchReport()
        batches = selected.batches(params.parse(raw_params).fetch, report)
        return pa.Table.from_batches(list(batches), MOVIE), report

    return run


def test_rated_films_are_joined_with_their_people(fetched: Fetched) -> None:
    movies, report = fetched(given())
    assert movies.to_pylist() == [UNCLOSED, HARBOUR, NAMELESS]
    assert report.counts == {
        "titles": 7,
        "films": 4,
        "without_rating": 1,
        "broken": 0,
        "unreadable_release_date": 0,
        "unreadable_runtime": 0,
        "people_without_name": 2,
    }
    assert report.failed == []


def test_the_versions_of_the_tables_are_reported(fetched: Fetched) -> None:
    _, report = fetched(given())
    assert set(report.details["tables"]) == set(TABLES)
    for name, found in report.details["tables"].items():
        (path,) = Path("inputs/imdb").glob(f"{name}.*")
        expected = {"bytes": path.stat().st_size, "sha256": storage.sha256(path), "last_modified": None}
        assert found == expected


def test_types_and_adult_movies_are_chosen(fetched: Fetched) -> None:
    assert fetched(given(), types=["tvMovie"])[0].to_pylist() == [TELEVISION]
    movies, _ = fetched(adult=True, types=["movie", "tvMovie"])
    assert movies["id"].to_pylist() == [1, 2, 4, 6, 10000007]
    assert movies["adult"].to_pylist() == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("cast_size", "cast"), [(0, []), (2, ["Bo Çi", "Ed Fu"]), (9, ["Bo Çi", "Ed Fu", "Fe Go", "Gi Ha"])]
)
def test_the_cast_is_cut_and_names_nobody_twice(fetched: Fetched, cast_size: int, cast: list[str]) -> None:
    movies, _ = fetched(given(), cast_size=cast_size)
    assert movies["cast"].to_pylist() == [[], cast, []]
    assert movies["producers"].to_pylist() == [["Cy Do"], ['Ana "Ace" Ba', "Gi Ha"], []]


@pytest.mark.parametrize("block", [1, 50, 1_000])
def test_the_size_of_blocks_and_slices_makes_no_difference(
    fetched: Fetched, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(tsv, "BLOCK", block)
    monkeypatch.setattr(imdb, "SLICE", 1)
    movies, report = fetched(given(), cast_size=2)
    assert movies.to_pylist() == [UNCLOSED, HARBOUR | {"cast": ["Bo Çi", "Ed Fu"]}, NAMELESS]
    assert report.counts["titles"] == 7


def test_a_join_of_many_random_rows_equals_one_in_plain_python(fetched: Fetched) -> None:
    tables = random_tables(films=300, people=200)
    movies, _ = fetched(given(**tables))
    found = {row["id"]: row for row in movies.to_pylist()}
    names = dict(row[:2] for row in tables["name_basics"][1:])
    crew = {row[0]: row for row in tables["title_crew"][1:]}
    for tconst, rating, votes in tables["title_ratings"][1:]:
        cast = sorted((int(row[1]), row[2]) for row in tables["title_principals"][1:] if row[0] == tconst)
        row = found.pop(int(tconst[2:]))
        assert row["cast"] == [names[person] for _, person in cast][:3]
        assert row["directors"] == [names[person] for person in crew[tconst][1].split(",")]
        assert (row["vote_average"], row["vote_count"]) == (float(rating), int(votes))
    assert not found


def random_tables(films: int, people: int) -> dict[str, list[list[str]]]:
    ids = [f"tt{n:07}" for n in range(1, films + 1)]
    persons = [f"nm{n:07}" for n in range(1, people + 1)]
    return {
        "title_basics": [BASICS, *([i, "movie", i, i, "0", "1994", NO, "98", "Drama"] for i in ids)],
        "title_ratings": [["tconst", "averageRating", "numVotes"], *([i, "5.5", "12"] for i in ids[::2])],
        "title_crew": [
            ["tconst", "directors", "writers"],
            *([i, ",".join(persons[n % 90 : n % 90 + 1 + n % 3]), NO] for n, i in enumerate(ids)),
        ],
        "title_principals": [
            ["tconst", "ordering", "nconst", "category"],
            *(
                [i, str(place), persons[(7 * n + place) % people], "actress"]
                for n, i in reversed(list(enumerate(ids)))
                for place in range(n % 6, 0, -1)
            ),
        ],
        "name_basics": [["nconst", "primaryName"], *([p, f"Name {p}"] for p in persons)],
    }


def test_columns_are_found_by_name_wherever_they_stand(fetched: Fetched) -> None:
    turned = {name.replace(".", "_"): [row[::-1] for row in rows] for name, rows in TABLES.items()}
    assert fetched(given(**turned))[0].to_pylist() == [UNCLOSED, HARBOUR, NAMELESS]


def test_line_ends_of_windows_and_a_last_line_without_an_end_are_read(fetched: Fetched) -> None:
    texts = {name: "\ufeff" + text.replace("\n", "\r\n").removesuffix("\r\n") for name, text in given().items()}
    assert fetched(texts)[0].to_pylist() == [UNCLOSED, HARBOUR, NAMELESS]


def test_broken_rows_are_left_out_and_named_by_line(fetched: Fetched, capsys: pytest.CaptureFixture[str]) -> None:
    basics = [*TABLES["title.basics"], [""], ["tt8", "movie"], ["tt9", "movie", "Shifted", "0", "0", "0", NO, NO, "1"]]
    basics += [
        ["tt9", "movie", "Shifted", "Shifted", "2005", "0", NO, NO, "Drama"],
        ["9", *TABLES["title.basics"][1][1:]],
    ]
    broken = {
        "title_basics": basics,
        "title_ratings": [*TABLES["title.ratings"], ["tt0000005", "good", "7"], ["tt0000005", "nan", "7"]],
        "title_crew": [*TABLES["title.crew"], ["tt0000001", "nm0000001,somebody,else", NO]],
        "title_principals": [*TABLES["title.principals"], ["tt0000002", "first", "nm0000001", "actor", NO, NO]],
        "name_basics": [*TABLES["name.basics"], ["nm+1", "Nobody", NO, NO, NO, NO]],
    }
    movies, report = fetched(given(**broken), max_bad_share=0.5)
    assert movies.to_pylist() == [UNCLOSED, HARBOUR, NAMELESS]
    assert [(Path(row["table"]).name, row["line"], row["reason"]) for row in report.failed] == [
        ("title.ratings.tsv.gz", 9, "averageRating: unexpected value 'good'"),
        ("title.ratings.tsv.gz", 10, "averageRating: unexpected value 'nan'"),
        ("title.basics.tsv", 10, "2 cells, the header has 9"),
        ("title.basics.tsv", 12, "isAdult: unexpected value '2005'"),
        ("title.basics.tsv", 13, "tconst: unexpected value '9'"),
        ("title.crew.tsv", 6, "person: unexpected value 'somebody'"),
        ("title.principals.tsv.gz", 18, "ordering: unexpected value 'first'"),
        ("name.basics.tsv", 10, "nconst: unexpected value 'nm+1'"),
    ]
    assert report.counts["broken"] == 8
    assert "title.basics.tsv line 10: 2 cells, the header has 9; skipped: 'tt8" in capsys.readouterr().err


def test_bytes_that_are_no_text_break_their_row_alone(fetched: Fetched) -> None:
    write(Path("inputs/imdb"), given())
    path = Path("inputs/imdb/name.basics.tsv")
    path.write_bytes(path.read_bytes().replace("Bo Çi".encode(), b"Bo \xc7i"))
    movies, report = fetched(max_bad_share=0.2)
    assert movies["directors"].to_pylist() == [[], ['Ana "Ace" Ba'], []]
    assert [(row["line"], row["reason"]) for row in report.failed] == [(3, "bytes that are no text")]


def test_too_many_broken_rows_of_one_table_fail(fetched: Fetched) -> None:
    table = [*TABLES["title.ratings"], ["tt0000005", "good", "7"]]
    with pytest.raises(UserError) as error:
        fetched(given(title_ratings=table), max_bad_share=0.1)
    assert str(error.value) == (
        "fetch.imdb.max_bad_share: 1 of 8 rows of inputs/imdb/title.ratings.tsv.gz are broken, the first is line 9: "
        "averageRating: unexpected value 'good'"
    )


def test_odd_years_and_runtimes_are_null_and_counted(fetched: Fetched) -> None:
    first = [*TABLES["title.basics"][1][:5], "19x4", NO, "long", "Drama"]
    movies, report = fetched(given(title_basics=[BASICS, first]))
    assert movies.select(["release_date", "runtime"]).to_pylist() == [{"release_date": None, "runtime": None}]
    assert (report.counts["unreadable_release_date"], report.counts["unreadable_runtime"]) == (1, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "title.crew.tsv: empty, expected a line of column names"),
        (b"<!DOCTYPE html>\n<html>\n", "title.crew.tsv: a web page, expected a table of IMDb"),
        (b"tconst\tdirectors\ntt1\tnm1\n", "title.crew.tsv: no column 'writers'; it has 'tconst, directors'"),
        (b"a,b\n1,2\n", "title.crew.tsv: no column 'tconst'; it has 'a,b'"),
        (b"\x89PNG\r\n", "title.crew.tsv: no column 'tconst'; it has '\ufffdPNG'"),
        (
            gzip.compress(("tconst\tdirectors\twriters\n" + "tt1\tnm1\tnm1\n" * 9).encode())[:-9],
            "title.crew.tsv: damaged or cut short behind line 1 (Compressed file ended before the end-of-stream marker "
            "was reached)",
        ),
    ],
)
def test_what_is_no_table_is_named_and_kept(fetched: Fetched, content: bytes, message: str) -> None:
    write(Path("inputs/imdb"), given())
    path = Path("inputs/imdb/title.crew.tsv")
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        fetched()
    assert str(error.value) == f"inputs/imdb/{message}"
    assert path.read_bytes() == content


def test_a_line_without_an_end_does_not_fill_the_memory(fetched: Fetched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tsv, "BLOCK", 10)
    monkeypatch.setattr(tsv, "LONGEST_LINE", 100)
    crew = [*TABLES["title.crew"], ["tt0000006", "nm0000001," * 50, NO]]
    with pytest.raises(UserError, match=r"title\.crew\.tsv: damaged .* line 5 \(a line of more than 100 bytes\)$"):
        fetched(given(title_crew=crew))


def test_a_folder_needs_each_table_once(fetched: Fetched) -> None:
    write(Path("inputs/imdb"), given())
    (Path("inputs/imdb/title.crew.tsv")).rename("crew.tsv")
    with pytest.raises(UserError, match=r"^fetch.imdb.folder: inputs/imdb has no title.crew.tsv or title.crew.tsv.gz$"):
        fetched()
    for name in ("title.crew.tsv", "title.crew.tsv.gz"):
        Path("inputs/imdb", name).touch()
    with pytest.raises(UserError, match=r"inputs/imdb has both title.crew.tsv and title.crew.tsv.gz$"):
        fetched()


def test_each_role_has_a_field(fetched: Fetched, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new field of the record needs its line in the table of roles alone."""
    roles = people.OF_CATEGORY | {"production_designer": "designers"}
    fields = (*people.FIELDS, "designers")
    monkeypatch.setattr(people, "OF_CATEGORY", roles)
    monkeypatch.setattr(people, "FIELDS", fields)
    monkeypatch.setattr(people, "FIELD", pl.Enum(fields))
    monkeypatch.setattr(imdb, "MOVIE", pa.schema([*MOVIE, ("designers", pa.list_(pa.string()))]))
    write(Path("inputs/imdb"), given())
    options = params.load(ROOT / "params.yaml").fetch
    options = options.model_copy(update={"imdb": options.imdb.model_copy(update={"folder": "inputs/imdb"})})
    movies = pa.Table.from_batches(list(imdb.batches(options, FetchReport())))
    assert movies.column_names == [*MOVIE.names, "designers"]
    assert movies["designers"].to_pylist() == [[], ["Cy Do"], []]


def serve(server: FileServer, texts: Given) -> None:
    server.files = {f"{name}.tsv.gz": File(gzip.compress(text.encode())) for name, text in texts.items()}


def test_the_tables_are_downloaded_fetched_and_cleaned(
    raw_params: dict[str, Any],
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "MOVIE_RATINGS_STORE"):
        monkeypatch.delenv(name, raising=False)
    with FileServer() as server:
        serve(server, given())
        server.files["title.principals.tsv.gz"].faults = [(503, {"Retry-After": "0"})]
        raw_params["fetch"]["source"] = "imdb"
        raw_params["fetch"]["imdb"] |= {"url": server.url, "cast_size": 3}
        with Path("params.yaml").open("w") as file:
            YAML().dump(raw_params, file)
        fetch.fetch()
        assert "fetch: 3 movies from imdb, 7 titles, 4 films" in capsys.readouterr().out
        assert pq.read_table("data/raw/movies.parquet").to_pylist() == [UNCLOSED, HARBOUR, NAMELESS]
        details = json.loads(Path("metrics/details/fetch.json").read_text())
        assert (details["source"], details["rows"]) == ("imdb", 3)
        for name, found in details["tables"].items():
            (path,) = Path("data/store/imdb").glob(f"*/{name}.tsv.gz")
            assert found["sha256"] == storage.sha256(path)
            assert found["last_modified"] == "Thu, 26 Nov 2026 00:00:00 GMT"
        server.files.clear()
        fetch.fetch()
    clean.clean()
    assert pq.read_table("data/clean/movies.parquet")["id"].to_pylist() == [2, 10000007]
    cleaned = json.loads(Path("metrics/details/clean.json").read_text())
    assert cleaned["dropped"]["no_summary"] == 1


def test_a_downloaded_table_that_is_none_is_downloaded_again(fetched: Fetched, monkeypatch: pytest.MonkeyPatch) -> None:
    with FileServer() as server:
        serve(server, given())
        good = server.files["title.crew.tsv.gz"]
        server.files["title.crew.tsv.gz"] = File(good.body[:-9])
        with pytest.raises(UserError, match=r"title\.crew\.tsv\.gz: .*; the file is deleted: run again to download it"):
            fetched(folder=None, url=server.url)
        server.files["title.crew.tsv.gz"] = good
        movies, _ = fetched(folder=None, url=server.url)
    assert movies.to_pylist() == [UNCLOSED, HARBOUR, NAMELESS]
    assert len(server.requests) == 6
