"""Parquet tables in and out: whole or not at all, of a known schema, the same bytes for the same rows."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stages.errors import UserError
from stages.storage import whole

ROW_GROUP = 16_384


def write_table(path: str | Path, table: pa.Table) -> None:
    """Write a Parquet file whose bytes depend on the table's content alone, whole or not at all."""
    write_batches(path, table.combine_chunks().to_batches(max_chunksize=ROW_GROUP), table.schema)


def write_batches(path: str | Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> int:
    """Stream record batches of ``schema`` into a Parquet file, whole or not at all; return the number of rows.

    Row groups are cut at ``ROW_GROUP`` rows whatever the size of the batches that arrive, so that a source's batch
    size does not show in the file's bytes.
    """
    rows = 0
    pending: list[pa.RecordBatch] = []
    with whole(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for batch in batches:
            pending.append(batch)
            rows += batch.num_rows
            if sum(b.num_rows for b in pending) >= ROW_GROUP:
                table = pa.Table.from_batches(pending, schema).combine_chunks()
                full = table.num_rows - table.num_rows % ROW_GROUP
                writer.write_table(table.slice(0, full), row_group_size=ROW_GROUP)
                pending = table.slice(full).to_batches()
        if pending or not rows:
            writer.write_table(pa.Table.from_batches(pending, schema).combine_chunks(), row_group_size=ROW_GROUP)
    return rows


def read_table(path: str | Path, schema: pa.Schema) -> pa.Table:
    """Read a Parquet file that must have the columns of ``schema``.

    Raises:
        UserError: the file is missing, is not a whole Parquet file, or a column is missing or of another type.
    """
    try:
        found = pq.read_schema(path)
        for field in schema:
            if field.name not in found.names:
                raise UserError(f"{path}: column {field.name!r} is missing; it has {', '.join(found.names)}")
            if found.field(field.name).type != field.type:
                raise UserError(
                    f"{path}: column {field.name!r} has type {found.field(field.name).type}, expected {field.type}"
                )
        return pq.read_table(path, columns=schema.names).select(schema.names).cast(schema)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the stage before this one (`dvc repro` runs all)") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: not a readable Parquet file ({_first_line(error)})") from None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
