"""Every format that a result is written in: read again, the values are the same; what has no place is refused."""

import gc
import json
import math
import random
import string
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import python_calamine

from movie_ratings.core.errors import UserError
from movie_ratings.prediction import workbook
from movie_ratings.prediction.classifier import Classifier
from movie_ratings.prediction.movie_table import MovieTable
from movie_ratings.prediction.writer import FORMATS, Writer
from stages import predict
from tests.support.builders import largest_file
from tests.support.workbooks import xlsx

ROWS: list[dict[str, Any]] = [
    {"title": "Harbour, and \"Ice\"", "genres": ["Drama", "Crime"], "year": 1994, "score": 0.25, "seen": True},
    {"title": "Tab\there, line\nthere", "genres": [], "year": 2007, "score": -1.5, "seen": False},
    {"title": "", "genres": None, "year": 2011, "score": 1e-12, "seen": True},
    {"title": "فيلم 🎬", "genres": ["Été"], "year": None, "score": None, "seen": None},
]  # fmt: skip
TYPED = (".json", ".jsonl", ".ndjson", ".parquet")


def written(path: Path, *rows: dict[str, Any]) -> Path:
    with Writer(path) as writer:
        for row in rows:
            writer.write([row])
    return path


def read(path: Path) -> list[dict[str, Any]]:
    """The rows as our own reader gives them to the next prediction."""
    from movie_ratings.sources.tables.table import Table

    table = Table(path, keeps_rows=True)
    names = table.columns()
    rows: list[dict[str, Any]] = []
    for part in table.parts(names, []):
        chunk = part()
        assert not chunk.broken
        found = chunk.rows.to_pylist() if chunk.given is None else chunk.given
        rows += [{name: row.get(name) for name in names} for row in found]
    return rows


def cells(path: Path) -> list[list[Any]]:
    """The cells of a workbook with their types, the names of the columns left out."""
    return python_calamine.CalamineWorkbook.from_path(str(path)).get_sheet_by_index(0).to_python()[1:]


def as_cell(value: Any) -> Any:
    """A value as a table without types has it."""
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_is_written_is_read_again(tmp_path: Path, suffix: str) -> None:
    found = read(written(tmp_path / f"t{suffix}", *ROWS))
    if suffix in TYPED:
        assert found == ROWS
    elif suffix == ".xlsx":
        assert found == [{name: as_cell(value) for name, value in row.items()} for row in ROWS]
    else:
        assert found == [{name: str(as_cell(value)) for name, value in row.items()} for row in ROWS]


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_suffix_in_capitals_is_the_same_format(tmp_path: Path, suffix: str) -> None:
    upper, lower = written(tmp_path / f"t{suffix.upper()}", *ROWS), written(tmp_path / f"t{suffix}", *ROWS)
    assert read(upper) == read(lower)


def test_the_separator_is_that_of_the_suffix(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"a": "1,5", "b": "x"}]
    assert written(tmp_path / "t.csv", *rows).read_text() == 'a,b\n"1,5",x\n'
    for suffix in (".tsv", ".txt"):
        assert written(tmp_path / f"t{suffix}", *rows).read_text() == "a\tb\n1,5\tx\n"


def test_json_is_one_array_and_the_others_an_object_a_line(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"a": 1}, {"a": [2]}]
    assert json.loads(written(tmp_path / "t.json", *rows).read_text()) == rows
    for suffix in (".jsonl", ".ndjson"):
        lines = written(tmp_path / f"t{suffix}", *rows).read_text()
        assert lines.endswith("\n")
        assert [json.loads(line) for line in lines.splitlines()] == rows
    assert json.loads(written(tmp_path / "none.json").read_text()) == []
    assert written(tmp_path / "none.jsonl").read_text() == ""


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_result_without_rows_is_a_file(tmp_path: Path, suffix: str) -> None:
    assert written(tmp_path / f"none{suffix}").exists()


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_result_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), Writer(path) as writer:
        writer.write(ROWS)
        raise ZeroDivisionError
    if suffix == ".xlsx":
        gc.collect()  # the library could write as its objects are deleted
    assert [place.name for place in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_full_disk_is_one_line_with_the_name_of_the_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    texts = random.Random(0)  # texts that no format packs to a few bytes
    rows = [{"a": "".join(texts.choices(string.printable, k=500)), "n": n} for n in range(200)]
    with pytest.raises(UserError, match=rf"^{path}: File too large$"), largest_file(20_000), Writer(path) as writer:
        writer.write(rows)
    if suffix == ".xlsx":
        gc.collect()  # the library could write as its objects are deleted
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("=1+1", "=1+1"),
        ('=HYPERLINK("http://example.org")', '=HYPERLINK("http://example.org")'),
        ("{=SUM(A1)}", "{=SUM(A1)}"),
        ("+1", "+1"),
        ("@A1", "@A1"),
        ("http://example.org", "http://example.org"),
        ("mailto:a@example.org", "mailto:a@example.org"),
        ("007", "007"),
        ("1e3", "1e3"),
        (" two ", " two "),
        ("a\r\nb\tc\x01\x0bd", "a\r\nb\tc\x01\x0bd"),
        ("_x0041_ & <b>", "_x0041_ & <b>"),
        ("<r><t>A</t></r>", "<r><t>A</t></r>"),
        ("<r></is></c></row></r>", "<r></is></c></row></r>"),
        ("\ud800 \uffff", "\ufffd \ufffd"),
        ("x" * workbook.CELL, "x" * workbook.CELL),
        (["Drama", "Crime"], '["Drama", "Crime"]'),
        ([{"name": "Été"}], '[{"name": "Été"}]'),
        (1994, 1994.0),
        (-(10**15) + 1, -(10.0**15) + 1),
        (10**15 + 1, "1000000000000001"),
        (10**400, str(10**400)),
        (0.1234567890123456, 0.1234567890123456),
        (math.inf, "inf"),
        (math.nan, ""),
        (None, ""),
        (True, True),
        (Decimal("1.10"), "1.10"),
        (date(1994, 5, 12), date(1994, 5, 12)),
        (date(1900, 3, 1), date(1900, 3, 1)),
        (date(1900, 2, 28), "1900-02-28"),
        (date(1895, 12, 28), "1895-12-28"),
        (datetime(1994, 5, 12, 20, 15), datetime(1994, 5, 12, 20, 15)),
        (datetime(1994, 5, 12, 20, 15, 0, 7), "1994-05-12 20:15:00.000007"),
        (time(2, 22), time(2, 22)),
        (timedelta(hours=26), timedelta(hours=26)),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_a_cell_of_a_workbook_holds_the_value_or_its_text(tmp_path: Path, value: Any, expected: Any) -> None:
    ((found, last),) = cells(written(tmp_path / "t.xlsx", {"a": value, "b": "last"}))
    assert (found, type(found)) == (expected, type(expected))
    assert last == "last"


@pytest.mark.parametrize("text", ["x" * (workbook.CELL + 1), "🎬" * 20_000])
def test_a_text_that_no_cell_holds_is_refused_with_row_and_column(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.xlsx"
    with pytest.raises(UserError, match=r"t\.xlsx row 3: 'cast' has a text of (32,768|40,000) characters, and a cell"):
        written(path, {"cast": "A"}, {"cast": text})
    assert list(tmp_path.iterdir()) == []


def test_more_rows_or_columns_than_a_sheet_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "ROWS", 4)
    assert len(cells(written(tmp_path / "t.xlsx", *[{"a": 1}] * 3))) == 3
    with pytest.raises(UserError, match=r"u\.xlsx: more than 3 rows, which no sheet holds; write \.csv or \.parquet"):
        written(tmp_path / "u.xlsx", *[{"a": 1}] * 4)
    wide = {str(number): number for number in range(workbook.COLUMNS + 1)}
    with pytest.raises(UserError, match=r"v\.xlsx: 16,385 columns, a sheet has 16,384"):
        written(tmp_path / "v.xlsx", wide)
    assert [path.name for path in tmp_path.iterdir()] == ["t.xlsx"]


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_rows_with_other_columns_are_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(UserError, match="rows with different columns"):
        written(tmp_path / f"t{suffix}", {"a": 1}, {"b": 1})


CELLS: list[list[Any]] = [
    ["Film", "Plot", "Released", "Runtime", "Seen", "Number", "Note"],
    ["Harbour", "A pilot leaves home.", date(1994, 5, 12), 142, True, "007", None],
    ["=Winter", "A letter is lost.", "1895-12-28", 95.5, False, "2", "late"],
    ["Summer", "", datetime(2007, 6, 1, 20, 15), "2h 5m", True, "3", 7],
]  # fmt: skip


def test_a_workbook_becomes_a_workbook_with_the_same_typed_cells(trained: Path) -> None:
    Path("x.xlsx").write_bytes(xlsx({"Films": CELLS}))
    assert predict.main(["--input", "x.xlsx", "--output", "y.xlsx"]) == 0
    header, *rows = python_calamine.CalamineWorkbook.from_path("y.xlsx").get_sheet_by_index(0).to_python()
    assert header[:7] == CELLS[0]
    assert header[7:] == [
        "label", "probability_bad", "probability_average", "probability_good",
        "predicted_rating", "predicted_rating_low", "predicted_rating_high",
    ]  # fmt: skip
    expected = [["" if cell is None else cell for cell in row] for row in CELLS[1:]]
    assert [row[:7] for row in rows] == expected
    movies = [
        {"title": "Harbour", "summary": "A pilot leaves home.", "year": 1994, "runtime": 142},
        {"title": "=Winter", "summary": "A letter is lost.", "year": 1895, "runtime": 96},
        {"title": "Summer", "year": 2007, "runtime": 125},
    ]
    for row, prediction in zip(rows, Classifier.load(trained).predict(movies), strict=True):
        assert row[7] == prediction.label
        assert row[8:11] == pytest.approx(list(prediction.probabilities.values()), abs=1e-6)
        assert row[11:] == pytest.approx([prediction.predicted_rating, *prediction.interval_80], abs=1e-5)
    # The result is a table in turn: its movies are the same.
    again = [batch.movies for batch in MovieTable(Path("y.xlsx")).batches(10)]
    assert again == [batch.movies for batch in MovieTable(Path("x.xlsx")).batches(10)]


def test_a_workbook_becomes_a_table_of_texts_in_formats_whose_columns_have_one_type(trained: Path) -> None:
    Path("x.xlsx").write_bytes(xlsx({"Films": CELLS}))
    for name in ("y.csv", "y.parquet", "y.jsonl"):
        assert predict.main(["--input", "x.xlsx", "--output", name]) == 0
    released = ["1994-05-12", "1895-12-28", "2007-06-01 20:15:00"]
    schema = pq.read_schema("y.parquet")
    assert {schema.field(name).type for name in CELLS[0]} == {pa.string()}
    for frame in (pl.read_parquet("y.parquet"), pl.read_csv("y.csv", infer_schema=False)):
        assert frame["Released"].to_list() == released
        assert frame["Runtime"].to_list() == ["142", "95.5", "2h 5m"]
        assert frame["Number"].to_list() == ["007", "2", "3"]
        assert frame["Seen"].to_list() == ["True", "False", "True"]
    lines = [json.loads(line) for line in Path("y.jsonl").read_text().splitlines()]
    assert [row["Runtime"] for row in lines] == [142, 95.5, "2h 5m"]
    assert [row["Released"] for row in lines] == released


def test_an_output_of_another_suffix_is_refused(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.csv").write_text("title\nA\n")
    assert predict.main(["--input", "a.csv", "--output", "a.xls"]) == 2
    assert capsys.readouterr().err == f"error: a.xls: expected a name that ends in {', '.join(FORMATS)}\n"
