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


@pytest.mark.parametrize("batch", [65_536, 7, 1])
@pytest.mark.parametrize("most", [0, 1, 10, 99, 100, 1_000])
def test_a_spread_is_read_whatever_the_size_of_the_batches(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, batch: int, most: int
) -> None:
    parquet.write_table("table.parquet", pa.table({"id": list(range(100))}, SCHEMA))
    monkeypatch.setattr(parquet, "BATCH", batch)
    assert parquet.read_spread("table.parquet", SCHEMA, most)["id"].to_pylist() == parquet.spread(100, most).tolist()


def test_an_empty_table_and_a_missing_one(workspace: Path) -> None:
    parquet.write_table("table.parquet", pa.table({"id": []}, SCHEMA))
    assert parquet.read_spread("table.parquet", SCHEMA, 10).num_rows == 0
    with pytest.raises(UserError, match=r"gone\.parquet: no such file"):
        parquet.read_spread("gone.parquet", SCHEMA, 10)
