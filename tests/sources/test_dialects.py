"""Delimited text in the dialects of many programs, read as it was written."""

import csv
import io
from pathlib import Path
from typing import Any

import pandas
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from movie_ratings.core.errors import UserError
from movie_ratings.sources.tables import blocks
from tests.support.tables import rows_of

HEADER = ["Title", "Plot", "RATING"]
# This row has an escaped quote, from which escapes are recognised.
TELLING = ["The Harbour", 'She said "no", and left', "7"]

fast = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def cells(letters: str) -> st.SearchStrategy[list[list[str]]]:
    # A row of blank cells may be a blank line.
    row = st.lists(st.text(st.sampled_from(letters), max_size=9), min_size=3, max_size=3)
    return st.lists(row.filter(lambda row: any(cell.strip() for cell in row)), min_size=1, max_size=9)


def written(rows: list[list[str]], **dialect: Any) -> str:
    text = io.StringIO(newline="")
    if dialect["lineterminator"] == "\r":
        # Some versions of csv leave a line feed without quotes here, which Excel does not.
        dialect["quoting"] = csv.QUOTE_ALL
    csv.writer(text, **dialect).writerows(rows)
    return text.getvalue()


@fast
@given(
    rows=cells('ab ,;|\t"\n\\éд“'),
    separator=st.sampled_from([",", ";", "\t", "|"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]),
    above=st.sampled_from(["", "sep", "blank"]),
    size=st.sampled_from([16, 1 << 24]),
)
def test_what_csv_writes(
    tmp_path: Path,
    rows: list[list[str]],
    separator: str,
    quoting: Any,
    end: str,
    encoding: str,
    above: str,
    size: int,
) -> None:
    lead = {"": "", "sep": f"sep={separator}{end}", "blank": 2 * end}[above]
    path = tmp_path / "t.csv"
    text = lead + written([HEADER, *rows], delimiter=separator, quoting=quoting, lineterminator=end)
    path.write_bytes(text.encode(encoding))
    assert rows_of(path, block=size) == ([HEADER, *rows], [])


@fast
@given(
    rows=cells('ab ,"\n\\é'),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    size=st.sampled_from([16, 1 << 24]),
)
def test_quotes_behind_a_backslash(tmp_path: Path, rows: list[list[str]], quoting: Any, end: str, size: int) -> None:
    path = tmp_path / "t.csv"
    text = written([HEADER, TELLING, *rows], quoting=quoting, lineterminator=end, doublequote=False, escapechar="\\")
    path.write_bytes(text.encode())
    assert rows_of(path, block=size) == ([HEADER, TELLING, *rows], [])


@fast
@given(rows=cells('ab ,;"\n\\éд“'), separator=st.sampled_from([",", ";", "\t", "|"]), bom=st.booleans())
def test_what_polars_writes(tmp_path: Path, rows: list[list[str]], separator: str, bom: bool) -> None:
    path = tmp_path / "t.csv"
    pl.DataFrame(rows, schema=HEADER, orient="row").write_csv(path, separator=separator, include_bom=bom)
    assert rows_of(path) == ([HEADER, *rows], [])


@fast
@given(rows=cells('ab ,;"\n\\éд“'), encoding=st.sampled_from(["utf-8", "utf-16"]), backslash=st.booleans())
def test_what_pandas_writes(tmp_path: Path, rows: list[list[str]], encoding: str, backslash: bool) -> None:
    path = tmp_path / "t.csv"
    escapes: dict[str, Any] = {"doublequote": False, "escapechar": "\\"} if backslash else {}
    frame = pandas.DataFrame([TELLING, *rows], columns=HEADER)
    frame.to_csv(path, index=False, encoding=encoding, **escapes)
    assert rows_of(path) == ([HEADER, TELLING, *rows], [])


def test_databases_write_backslash_n_for_no_value(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('Title,Plot,RATING\n"A","She said \\"no\\", \\\\N",\\N\n\\N,"Two\\\nlines",7\n')
    assert rows_of(path)[0][1:] == [["A", 'She said "no", \\N', ""], ["", "Two\nlines", "7"]]


@pytest.mark.parametrize("end", ["\\", "\\\n", '\\"', '"\\'])
def test_a_backslash_may_be_the_last_letter_of_a_file(tmp_path: Path, end: str) -> None:
    path = tmp_path / "t.csv"
    telling = '"A","She said \\"no\\"",7\n'
    path.write_text(f'Title,Plot,RATING\n{telling * 3}"B",Two,8{end}')
    rows, broken = rows_of(path)
    assert rows[1:4] == [["A", 'She said "no"', "7"]] * 3
    assert len(rows) + len(broken) == 5


def test_a_backslash_before_the_last_quote_is_a_backslash(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('Title,Plot,RATING\n"A","In C:\\films\\",7\n"B","In \\",8\n')
    assert rows_of(path) == ([HEADER, ["A", "In C:\\films\\", "7"], ["B", "In \\", "8"]], [])


def test_rows_that_end_in_a_carriage_return_may_hold_other_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [f'Film {number},"One\nand two",{number}' for number in range(60)]
    path.write_text("\r".join(["Title,Plot,RATING", *rows]), newline="")
    assert rows_of(path)[0][1:] == [[f"Film {number}", "One\nand two", str(number)] for number in range(60)]


def test_a_line_of_excel_that_names_the_separator_is_no_header(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("sep=;\nTitle;Plot, in short, of all;RATING\nA;One, two, three;7\nB;Two;8;9\n")
    rows, broken = rows_of(path)
    assert rows == [["Title", "Plot, in short, of all", "RATING"], ["A", "One, two, three", "7"]]
    assert [row.line for row in broken] == [4]


def test_zero_bytes_break_their_row_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"Title,Plot,RATING\nA,One,7\nB,T\0wo,8\nC,Three,9\n" + bytes(99))
    rows, broken = rows_of(path)
    assert rows[1:] == [["A", "One", "7"], ["C", "Three", "9"]]
    assert [row.line for row in broken] == [5, 3]


def test_the_name_of_a_column_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('Title,"Release\nDate  (US)"\nA,2001\n')
    assert rows_of(path)[0] == [["Title", "Release Date (US)"], ["A", "2001"]]


@pytest.mark.parametrize("text", ["", "\n\n", ",,\n", "sep=;\n", "\ufeff"])
def test_a_file_without_names_of_columns_is_empty(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=r"t\.csv: empty, expected a line of column names"):
        rows_of(path)


@pytest.mark.parametrize("text", ["{}", "{},Plot\nA,B\n"])
def test_a_header_that_no_table_has_is_one_line_of_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(blocks, "LONGEST_LINE", 1 << 16)
    path = tmp_path / "t.csv"
    path.write_text(text.format("x" * (1 << 22)))
    with pytest.raises(UserError, match=r"t\.csv: .*more than [\d,]+ bytes"):
        rows_of(path)
