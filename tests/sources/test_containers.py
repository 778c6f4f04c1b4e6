"""Tables in workbooks, JSON, Parquet, compressed files and archives; and files that are not what their name says."""

import bz2
import gzip
import io
import json
import lzma
import re
import sqlite3
import struct
import tarfile
import zipfile
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from movie_ratings.core.errors import UserError
from movie_ratings.sources.tables import json_rows
from movie_ratings.sources.tables.chunks import Size
from movie_ratings.sources.tables.table import Table, tables
from tests.support.tables import rows_of
from tests.support.workbooks import ods, xlsx

CSV = "title,votes\nThe Harbour,120\nThe Winter,90\n"
ROWS = [["title", "votes"], ["The Harbour", "120"], ["The Winter", "90"]]
FILMS = [{"title": "The Harbour", "votes": 120}, {"title": "The Winter", "votes": 90}]


def refused(path: str | Path) -> str:
    """The one line with which a file is refused, without the path."""
    with pytest.raises(UserError) as error:
        for table in tables(Path(path)):
            names = table.columns()
            for part in table.parts(names, names):
                part()
    message = str(error.value)
    assert "\n" not in message
    assert message.count(str(path)) == 1
    return re.sub(r"^.*?(: | (?=line \d))", "", message, count=1)


@pytest.mark.parametrize("suffix", [".csv.gz", ".csv.GZ", ".csv.bz2", ".csv.xz"])
def test_compressed_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    methods: dict[str, Callable[[bytes], bytes]] = {".bz2": bz2.compress, ".xz": lzma.compress}
    compress = methods.get(path.suffix, gzip.compress)
    path.write_bytes(compress(CSV.encode()))
    assert rows_of(path) == (ROWS, [])
    path.write_bytes(compress(CSV.encode()) + compress(b"Two,9\n"))
    assert rows_of(path)[0] == [*ROWS, ["Two", "9"]]
    path.write_bytes(compress(CSV.encode() * 999)[:-9])
    assert "not a readable file" in refused(path)


def test_bytes_behind_compressed_data(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(CSV.encode()) + bytes(512))
    assert rows_of(path) == (ROWS, [])
    path.write_bytes(gzip.compress(CSV.encode()) + b"-- end --")
    assert refused(path) == "behind the compressed data are bytes that are not compressed; unpack it with gzip -dc"


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz"])
def test_archives(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    members = {
        "data/a.csv": CSV.encode(),
        "b.jsonl.gz": gzip.compress(b'{"title": "Two"}\n'),
        "book.xlsx": xlsx({"One": [["n"], [1]], "Two/2": [["title"], ["Three"]]}),
        "read me.md": b"",
    }
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
    else:
        mode: Any = {".tar": "w:", ".tar.xz": "w:xz"}.get(suffix, "w:gz")
        with tarfile.open(path, mode) as tar:
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    assert [str(table) for table in tables(path)] == [
        f"{path}/{name}" for name in ("b.jsonl.gz", "book.xlsx", "data/a.csv")
    ]
    assert rows_of(path / "data" / "a.csv") == (ROWS, [])
    assert rows_of(path / "b.jsonl.gz")[0] == [["title"], ["Two"]]
    assert rows_of(path / "book.xlsx")[0] == [["n"], ["1"]]
    assert rows_of(path / "book.xlsx" / "Two" / "2")[0] == [["title"], ["Three"]]
    with pytest.raises(UserError, match=r"no table 'c\.csv' in this archive; it has b\.jsonl\.gz, book\.xlsx, data/a"):
        tables(path / "c.csv")


def test_members_that_python_cannot_unpack(tmp_path: Path) -> None:
    path = tmp_path / "t.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m.csv", CSV)
    plain = path.read_bytes()
    # The fields of the local header and of the entry in the directory.
    directory = plain.index(b"PK\x01\x02")

    def changed(local: int, central: int, value: int) -> bytes:
        data = bytearray(plain)
        struct.pack_into("<H", data, local, value)
        struct.pack_into("<H", data, directory + central, value)
        return bytes(data)

    path.write_bytes(changed(6, 8, 1))
    assert refused(path) == "encrypted; extract the archive with its password, and read the table itself"
    path.write_bytes(changed(8, 10, 9))
    assert refused(path).startswith("compressed with Deflate64, which Python does not read; extract the archive")
    path.write_bytes(changed(8, 10, 98))
    assert refused(path).startswith("compressed with method 98")


def test_cells_of_a_workbook_are_those_of_a_csv_file(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    sheets: dict[str, list[list[Any]]] = {
        "Notes": [["Films that we have seen"]],
        "Films": [
            [None],
            [None, "title", "votes", "rating", "day", "at", "seen"],
            [None, "A & B", 120, 7.25, date(2009, 12, 10), datetime(2009, 12, 10, 13, 30), True],
            [],
            [None, "C", None, 8, None, None, False],
        ],
        "More": [["title"], ["D"]],
    }
    path.write_bytes(xlsx(sheets))
    rows, broken = rows_of(path)
    assert (rows, broken) == (
        [
            ["title", "votes", "rating", "day", "at", "seen"],
            ["A & B", "120", "7.25", "2009-12-10", "2009-12-10 13:30:00", "True"],
            ["C", "", "8", "", "", "False"],
        ],
        [],
    )
    (table,) = tables(path)
    (part,) = table.parts(["title"], ["title"])
    assert list(part().lines()) == [3, 5]
    assert rows_of(path / "More")[0] == [["title"], ["D"]]
    assert refused(path / "None") == "no sheet 'None'; the workbook has Notes, Films, More"


def test_a_workbook_of_open_document(tmp_path: Path) -> None:
    path = tmp_path / "t.ods"
    path.write_bytes(ods({"Films": [["title", "votes"], ["The Harbour", 120], ["The Winter", 90]]}))
    assert rows_of(path) == (ROWS, [])


def test_workbooks_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    path.write_bytes(xlsx({"Notes": [["one line"]]}))
    assert refused(path) == "empty, expected a row of column names and rows below"
    path.write_bytes(xlsx({"Films": [["title", "title"], ["A", "B"]]}))
    assert refused(path) == "2 columns are called 'title'; rename all but one"
    sound = xlsx({"Films": [["title"], ["A"]]})
    # The size of the first member, in the directory.
    place = sound.index(b"PK\x01\x02") + 24
    path.write_bytes(sound[:place] + struct.pack("<I", 9) + sound[place + 4 :])
    assert refused(path) == "damaged at '[Content_Types].xml', or larger than the archive says"
    path.write_bytes(xlsx({"Films": [["title"], ["A"]]})[:-40])
    assert refused(path).startswith("not a readable")
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(999) + "EncryptedPackage".encode("utf-16-le"))
    assert refused(path) == "encrypted; save the workbook without a password"
    path.write_text(CSV)
    assert refused(path) == "no workbook by its content; name it .csv if it is delimited text"


PAGE = {"page": 1, "results": FILMS, "total_pages": 1}
FORMS = {
    "array": json.dumps(FILMS),
    "array, indented": json.dumps(FILMS, indent=2),
    "array, one object a line": "[\n" + ",\n".join(map(json.dumps, FILMS)) + "\n]\n",
    "page": json.dumps(PAGE),
    "page, indented": json.dumps(PAGE, indent=2),
    "pages, one a line": "".join(json.dumps({"page": n, "results": [film]}) + "\n" for n, film in enumerate(FILMS)),
    "objects, indented": "\n".join(json.dumps(film, indent=2) for film in FILMS),
    "one list": json.dumps({"movies": FILMS}),
} | {
    f"pandas, {orient}": pandas.DataFrame(FILMS).to_json(orient=orient)
    for orient in ("columns", "records", "split", "table")
} | {
    "pandas, index": pandas.DataFrame(FILMS, index=["tt1", "tt2"]).to_json(orient="index"),
    "pandas, list": json.dumps(pandas.DataFrame(FILMS).to_dict("list")),
}  # fmt: skip


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
@pytest.mark.parametrize("form", FORMS)
def test_forms_of_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, block: int) -> None:
    monkeypatch.setattr(json_rows, "BLOCK", block)
    path = tmp_path / "t.json"
    path.write_text(FORMS[form])
    (names, *rows), broken = rows_of(path)
    places = [names.index(name) for name in ("title", "votes")]
    assert ([[row[place] for place in places] for row in rows], broken) == (ROWS[1:], [])


def test_one_movie_is_one_row(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"title": "A", "genres": [{"name": "Drama"}], "results": [{"n": 1}]}, indent=1))
    assert rows_of(path)[0] == [["title", "genres", "results"], ["A", '[{"name": "Drama"}]', '[{"n": 1}]']]


@pytest.mark.parametrize("form", ["lines", "array"])
def test_keys_may_first_appear_in_the_last_row(tmp_path: Path, form: str) -> None:
    path = tmp_path / "t.json"
    films: list[dict[str, Any]] = [{"title": f"Film {number}"} for number in range(3_000)]
    films.append({"title": "Last", "runtime": 90})
    path.write_text("\n".join(map(json.dumps, films)) if form == "lines" else json.dumps(films, indent=0))
    (names, *rows), _ = rows_of(path)
    assert (names, len(rows), rows[0], rows[-1]) == (["title", "runtime"], 3_001, ["Film 0", None], ["Last", "90"])


def test_values_that_only_python_writes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"title": "A", "votes": NaN}\n{"title": "\\ud800", "votes": 1}\n{"title": "B", "votes": 2}')
    (_, *rows), broken = rows_of(path)
    assert rows == [["A", "NaN"], ["\ufffd", "1"], ["B", "2"]]  # half of a surrogate pair is no text
    assert not broken


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty, expected JSON objects"),
        (CSV, "no JSON: expected an object or an array; a delimited table has a name that ends in .csv"),
        ('[{"title": "A"},\n{"title": }]', "line 2: no JSON (Expecting value)"),
        ('[{"title": "A"},\n\n{"title": "B"}', "line 3: no JSON (the array does not end)"),
        ('[{"title": "A"}\n{"title": "B"}]', "line 2: no JSON (expected a comma or the end of the array)"),
        ('[{"title": "A"}]\n[]', "line 2: no JSON (something follows the end of the array)"),
        ('{"title": "A",\n', "line 2: no JSON (Expecting property name enclosed in double quotes)"),
        ('[{"a":' + "[" * 100_000, "line 1: no JSON (nested too deeply)"),
        ('{"a": [1, 2], "b": [1]}', "an object of columns that are not equally long"),
        ('{"1": {"2": 3}}', "an object of objects, where neither keys are names of columns"),
        ('{"columns": ["a"], "data": [[1, 2]]}', 'the rows of "data" have not as many values as "columns" has names'),
    ],
)
def test_json_that_cannot_be_read(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "t.json"
    path.write_text(text)
    assert refused(path) == reason


def test_elements_that_are_no_objects_break_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text('[\n{"title": "A"},\n7,\n[1],\n{"title": "B"}]')
    rows, broken = rows_of(path)
    assert rows == [["title"], ["A"], ["B"]]
    assert [(row.line, row.reason) for row in broken] == [
        (3, "expected an object, found int"),
        (4, "expected an object, found list"),
    ]


def test_an_object_that_does_not_fit_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"movies": FILMS}))
    with pytest.raises(
        UserError, match=r"t\.json line 1: an object of more than 24 bytes; write one object a line, or"
    ):
        Table(path, size=Size(rows=9, bytes=3)).columns()


def test_parquet_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table([["A"], ["B"]], names=["title", "title"]), path)
    assert refused(path) == "2 columns are called 'title'; rename all but one"
    pq.write_table(pa.table({"title": [f"Film {n}" for n in range(9999)]}), path, use_dictionary=False)
    data = bytearray(path.read_bytes())
    data[100:2000] = bytes(1900)
    path.write_bytes(data)
    assert refused(path).startswith("not a readable file (")


def test_parquet_with_text_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    invalid = pa.StringArray.from_buffers(1, pa.py_buffer(struct.pack("<2i", 0, 2)), pa.py_buffer(b"\xffA"))
    pq.write_table(pa.table({"title": invalid}), path)
    assert "not a readable file (" in refused(path)
    assert "UTF8" in refused(path)


def test_of_two_columns_with_one_name_the_others_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("n,title,n\n1,A,2\n")
    (table,) = tables(path)
    assert table.columns() == ["n", "title", "n"]
    assert [part().rows.to_pylist() for part in table.parts(["title"], ["title"])] == [[{"title": "A"}]]
    assert refused(path) == "2 columns are called 'n'; rename all but one"


def _database(path: Path) -> bytes:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE films (title)")
    return path.read_bytes()


def test_files_that_are_not_what_their_name_says(tmp_path: Path) -> None:
    table = pa.table({"title": ["A"]})
    parquet = io.BytesIO()
    pq.write_table(table, parquet)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("t.csv", CSV)
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    contents = {
        "a file compressed with gzip by its content; add .gz to its name": gzip.compress(CSV.encode()),
        "a zip archive by its content; name it .zip": packed.getvalue(),
        "a workbook by its content; name it .xlsx, or .ods if it is of OpenDocument": xlsx({"A": [["n"], [1]]}),
        "a Parquet file by its content; name it .parquet": parquet.getvalue(),
        "a web page or XML, not a table; download the file itself": b"\n<!DOCTYPE html>\n<html></html>",
        "a pointer of Git LFS, not the table itself; fetch the table with git lfs pull": pointer,
        "an SQLite database by its content; export the table as CSV": _database(tmp_path / "d"),
        "JSON by its content; name it .json, or .jsonl with one object a line": json.dumps(FILMS).encode(),
    }
    path = tmp_path / "t.csv"
    for reason, data in contents.items():
        path.write_bytes(data)
        assert refused(path) == reason
    path.write_text("{Title},[Plot]\nA,B\n")
    assert rows_of(path)[0] == [["{Title}", "[Plot]"], ["A", "B"]]


def test_a_fault_of_the_reader_is_no_fault_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(CSV)
    (table,) = tables(path)
    with pytest.raises(KeyError, match="stars"):
        list(table.parts(["stars"], []))
