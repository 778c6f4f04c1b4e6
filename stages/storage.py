"""Files in and out: whole or not at all, and named in every complaint."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.errors import UserError

ROW_GROUP = 16_384


@contextlib.contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write a file or a folder to; rename it when the block ends well.

    A crash at any moment leaves either the old ``path`` or the new one, never half of one. Leftovers of an earlier
    crash are removed first: the caller holds the lock on ``path``, so nobody else is writing them.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    remove(temporary)
    try:
        yield temporary
        for place in [*(temporary.rglob("*") if temporary.is_dir() else ()), temporary]:
            _flush(place)
        if path.is_dir():
            remove(path)
        temporary.replace(path)
        _flush(path.parent)
    finally:
        remove(temporary)


def remove(path: Path) -> None:
    """Delete a file or a folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON, whole or not at all; NaN is refused, since JSON has none."""
    with whole(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the stage before this one (`dvc repro` runs all)") from None
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None


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


def sha256(path: str | Path) -> str:
    """The hexadecimal SHA-256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def store() -> Path:
    """The folder of what is worth keeping between runs (downloads): outside every DVC output.

    ``MOVIE_RATINGS_STORE`` moves it, for queued experiments, which run in a copy of the repository.
    """
    return Path(os.environ.get("MOVIE_RATINGS_STORE", "data/store"))


def _flush(path: Path) -> None:
    """Ask the operating system to put a file, or a folder's list of names, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
