"""Workbooks that visitors upload: those of usual size are read, those that are made to fill the memory are refused."""

import re
import time
from pathlib import Path

import pytest

from movie_ratings.core.errors import UserError
from serving import workbooks
from tests.support.workbooks import changed, ods, xlsx

SHEET = {"Films": [["title", "summary"], *([f"Film {n}", "A radiant vision. " * 10] for n in range(2_000))]}


@pytest.mark.parametrize(
    ("name", "content"), [("a.xlsx", xlsx(SHEET)), ("a.ODS", ods(SHEET)), ("a.csv", b"title\nA\n")]
)
def test_a_table_of_two_thousand_movies_is_small(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    workbooks.require_small(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("far.xlsx", changed(xlsx({"Films": [["title"], ["A"]]}), "sheet1.xml", 'r="A2"', 'r="XFD1048576"')),
        (
            "many.ods",
            changed(
                ods({"Films": [["A"] * 50]}),
                "content.xml",
                "<table:table-row>",
                '<table:table-row table:number-rows-repeated="1000000">',
            ),
        ),
        ("damaged.xlsx", b"PK\x03\x04 no archive"),
        ("none.xls", b"no workbook"),
    ],
)
def test_a_workbook_that_would_fill_the_memory_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    began = time.monotonic()
    with pytest.raises(UserError, match=re.escape(f"{name}: no workbook that can be read")):
        workbooks.require_small(path)
    assert time.monotonic() - began < workbooks.SECONDS + 5
