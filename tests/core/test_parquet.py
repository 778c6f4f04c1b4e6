"""Reading a table a batch at a time, and a spread of its rows."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from movie_ratings.core import parquet
from movie_ratings.core.errors import UserError
from movie_ratings.movies.rows import evenly_spaced, within
from movie_ratings.prediction.movie_table import MovieTable

SCHEMA = pa.schema([("id", pa.int64())])


@given(st.integers(0, 300), st.integers(0, 400))
def test_a_spread_has_the_ends_and_as_many_rows_as_asked(rows: int, most: int) -> None:
    found = evenly_spaced(rows, most).tolist()
    assert len(found) == min(rows, most)
    assert found == sorted(set(found))
    assert rows == 0 or most == 0 or found[0] == 0
    assert min(rows, most) < 2 or found[-1] == rows - 1


@given(st.integers(0, 300), st.integers(0, 400), st.integers(1, 400))
def test_a_spread_is_found_whatever_the_size_of_the_batches(rows: int, most: int, batch: int) -> None:
    wanted = evenly_spaced(rows, most)
    found = [first + within(wanted, first, min(batch, rows - first)) for first in range(0, rows, batch)]
    assert [row for part in found for row in part.tolist()] == wanted.tolist()


def test_an_empty_table_and_a_missing_one(workspace: Path) -> None:
    parquet.write_table("table.parquet", pa.table({"id": []}, SCHEMA))
    assert parquet.read_table("table.parquet", SCHEMA).num_rows == 0
    with pytest.raises(UserError, match=r"gone\.parquet: no such file"):
        parquet.read_table("gone.parquet", SCHEMA)


@pytest.mark.parametrize("reader", ["stages", "predict"])
def test_what_was_read_of_a_file_is_not_kept(workspace: Path, monkeypatch: pytest.MonkeyPatch, reader: str) -> None:
    texts = [np.random.default_rng(n).bytes(400).hex() for n in range(20_000)]
    pq.write_table(pa.table({"title": texts}), "many.parquet", row_group_size=1_000)
    size = Path("many.parquet").stat().st_size
    monkeypatch.setattr(parquet, "BATCH", 1_000)
    batches = {
        "stages": parquet.read_batches("many.parquet", pa.schema([("title", pa.string())])),
        "predict": MovieTable(Path("many.parquet")).batches(1_000),
    }[reader]
    before, most = pa.total_allocated_bytes(), 0
    for _ in batches:
        most = max(most, pa.total_allocated_bytes() - before)
    assert 0 < most < size / 3
