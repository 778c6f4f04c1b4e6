"""Reading a table a batch at a time, and a spread of its rows."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import parquet
from stages.errors import UserError

SCHEMA = pa.schema([("id", pa.int64())])


@given(st.integers(0, 300), st.integers(0, 400))
def test_a_spread_has_the_ends_and_as_many_rows_as_asked(rows: int, most: int) -> None:
    found = parquet.spread(rows, most).tolist()
    assert len(found) == min(rows, most)
    assert found == sorted(set(found))
    assert rows == 0 or most == 0 or found[0] == 0
    assert min(rows, most) < 2 or found[-1] == rows - 1


@given(st.integers(0, 300), st.integers(0, 400), st.integers(1, 400))
def test_a_spread_is_found_whatever_the_size_of_the_batches(rows: int, most: int, batch: int) -> None:
    wanted = parquet.spread(rows, most)
    found = [first + parquet.within(wanted, first, min(batch, rows - first)) for first in range(0, rows, batch)]
    assert [row for part in found for row in part.tolist()] == wanted.tolist()


def test_an_empty_table_and_a_missing_one(workspace: Path) -> None:
    parquet.write_table("table.parquet", pa.table({"id": []}, SCHEMA))
    assert parquet.read_table("table.parquet", SCHEMA).num_rows == 0
    with pytest.raises(UserError, match=r"gone\.parquet: no such file"):
        parquet.read_table("gone.parquet", SCHEMA)
