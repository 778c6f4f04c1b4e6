"""Read and write Parquet tables: complete files only, of a known schema, the same bytes for the same rows."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from movie_ratings.core.errors import UserError, first_line
from movie_ratings.core.storage import whole

ROW_GROUP = 16_384
BATCH = 65_536  # rows that are read at a time


def write_table(path: str | Path, table: pa.Table) -> None:
    """Write a complete Parquet file whose bytes depend on the table's content alone."""
    write_batches(path, table.combine_chunks().to_batches(max_chunksize=ROW_GROUP), table.schema)


def write_batches(path: str | Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> int:
    """Stream record batches of ``schema`` into a complete Parquet file; return the number of rows.

    Row groups have ``ROW_GROUP`` rows, so that the bytes of the file do not depend on the size of the batches.
    """
    with whole(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as file:
        groups = RowGroups(file)
        for batch in batches:
            groups.write(pa.Table.from_batches([batch], schema))
        groups.end()
    return groups.rows


class RowGroups:
    """Writes row groups of ``ROW_GROUP`` rows, whatever the size of the tables that it is given.

    Many small row groups would need memory: the writer keeps metadata of each until the file is closed.
    """

    def __init__(self, file: pq.ParquetWriter):
        self._file, self.schema = file, file.schema
        self._pending: list[pa.Table] = []
        self.rows = 0

    def write(self, table: pa.Table) -> None:
        """Write a table of the file's schema."""
        self._pending.append(table)
        self.rows += len(table)
        if sum(map(len, self._pending)) >= ROW_GROUP:
            joined = pa.concat_tables(self._pending).combine_chunks()
            full = len(joined) - len(joined) % ROW_GROUP
            # The parts are released first, because writing needs memory too.
            self._pending = [joined.slice(full)] if full < len(joined) else []
            self._file.write_table(joined.slice(0, full), row_group_size=ROW_GROUP)

    def end(self) -> None:
        """Write the last row group, which may be smaller."""
        if self._pending or not self.rows:
            # For an empty_table, pyarrow would import pandas where that is installed: 70 MB of memory.
            rest = pa.concat_tables([pa.Table.from_batches([], self.schema), *self._pending]).combine_chunks()
            self._file.write_table(rest, row_group_size=ROW_GROUP)


def read_table(path: str | Path, schema: pa.Schema) -> pa.Table:
    """Read a Parquet file that must have the columns of ``schema``.

    Raises:
        UserError: the file is missing, is not a complete Parquet file, or a column is missing or of another type.
    """
    return pa.Table.from_batches(read_batches(path, schema), schema)


def read_batches(path: str | Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Read a Parquet file as `read_table` does, `BATCH` rows at a time.

    Raises:
        UserError: as `read_table`.
    """
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:  # pre_buffer keeps all that was read until the last batch
            found = file.schema_arrow
            for field in schema:
                if field.name not in found.names:
                    raise UserError(f"{path}: column {field.name!r} is missing; it has {', '.join(found.names)}")
                if found.field(field.name).type != field.type:
                    raise UserError(
                        f"{path}: column {field.name!r} has type {found.field(field.name).type}, expected {field.type}"
                    )
            for batch in file.iter_batches(BATCH, columns=schema.names):
                yield batch.select(schema.names).cast(schema)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the stage before this one (`dvc repro` runs all)") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: not a readable Parquet file ({first_line(error)})") from None
