"""Damaged files of every format: rows, broken rows, or one line that names the file."""

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from movie_ratings.core.errors import UserError
from movie_ratings.sources.tables.table import tables
from tests.support.workbooks import ods, xlsx

FILMS = [
    {"title": f"Café {n}", "summary": f'One "story", {n}\nof two lines.', "votes": n, "tags": ["a"]} for n in range(40)
]
TEXT = "title,summary,votes\n" + "".join(f'Café {n},"One ""story"", {n}\nof two lines.",{n}\n' for n in range(40))
CELLS: list[list[Any]] = [["title", "votes"], *([film["title"], film["votes"]] for film in FILMS)]


def _parquet(compression: str) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(FILMS), file, row_group_size=15, compression=compression)
    return file.getvalue()


def _zip(method: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("a.csv", TEXT)
        archive.writestr("b/c.jsonl", json.dumps(FILMS[0]))
    return file.getvalue()


def _tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        info = tarfile.TarInfo("a.csv")
        info.size = len(TEXT.encode())
        archive.addfile(info, io.BytesIO(TEXT.encode()))
    return file.getvalue()


WHOLE: dict[str, bytes] = {
    "comma.csv": TEXT.encode(),
    "western.csv": TEXT.encode("cp1252"),
    "wide.csv": TEXT.encode("utf-16"),
    "escaped.csv": TEXT.replace('""', '\\"').encode(),
    "packed.csv.gz": gzip.compress(TEXT.encode()),
    "lines.jsonl": "\n".join(map(json.dumps, FILMS)).encode(),
    "array.json": json.dumps(FILMS, indent=1, ensure_ascii=False).encode(),
    "page.json": json.dumps({"page": 1, "results": FILMS}).encode(),
    "plain.parquet": _parquet("none"),
    "packed.parquet": _parquet("zstd"),
    "archive.zip": _zip(zipfile.ZIP_DEFLATED),
    "stored.zip": _zip(zipfile.ZIP_STORED),
    "lzma.zip": _zip(zipfile.ZIP_LZMA),
    "archive.tar.gz": _tar(),
    "book.xlsx": xlsx({"Films": CELLS}),
    "book.ods": ods({"Films": CELLS}),
}

places = st.floats(0, 1, exclude_max=True)
damages = st.one_of(
    st.tuples(st.just("flip"), st.lists(st.tuples(places, st.integers(1, 255)), min_size=1, max_size=8)),
    st.tuples(st.just("cut"), st.tuples(places, places)),
    st.tuples(st.just("end"), places),
    st.tuples(st.just("double"), st.tuples(places, places)),
    st.tuples(st.just("swap"), st.tuples(places, places, places)),
    st.tuples(st.just("zero"), st.tuples(places, places)),
    st.tuples(st.just("rename"), st.sampled_from(sorted(WHOLE))),
)


def damaged(data: bytes, how: tuple) -> bytes:
    """The bytes of a file after a kind of damage."""
    kind, where = how
    size = len(data)
    if kind == "rename":
        return WHOLE[where]
    if kind == "end":
        return data[: int(where * size)]
    if kind == "flip":
        changed = bytearray(data)
        for place, mask in where:
            changed[int(place * size)] ^= mask
        return bytes(changed)
    first, second, *_ = sorted(int(place * size) for place in where)
    if kind == "swap":
        last = sorted(int(place * size) for place in where)[2]
        return data[:first] + data[second:last] + data[first:second] + data[last:]
    middle = data[first:second]
    return data[:first] + {"cut": b"", "double": 2 * middle, "zero": bytes(len(middle))}[kind] + data[second:]


@pytest.mark.parametrize("name", WHOLE)
@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(hurt=st.lists(damages, min_size=1, max_size=2))
def test_a_damaged_file_gives_rows_or_one_line(tmp_path: Path, name: str, hurt: list[tuple]) -> None:
    data = WHOLE[name]
    for how in hurt:
        data = damaged(data, how) if data else data
    path = tmp_path / name
    path.write_bytes(data)
    try:
        for table in tables(path):
            names = list(dict.fromkeys(table.columns()))
            for part in table.parts(names, names[:1]):
                chunk = part()
                assert len(chunk.lines()) == len(chunk.rows)
                assert all(row.line > 0 and row.reason for row in chunk.broken)
    except UserError as error:
        assert str(error).startswith(str(path))
        assert "\n" not in str(error)


@pytest.mark.parametrize("name", WHOLE)
def test_an_undamaged_file_gives_its_rows(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(WHOLE[name])
    chunks = [part() for table in tables(path) for part in table.parts(["title"], ["title"])]
    assert sum(len(chunk.rows) for chunk in chunks) in (40, 41)
    assert not any(chunk.broken for chunk in chunks)
