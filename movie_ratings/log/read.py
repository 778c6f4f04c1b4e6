"""Read the log of what was served, also while a service writes it."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from movie_ratings.core import parquet
from movie_ratings.core.errors import UserError, first_line
from movie_ratings.log import parts
from movie_ratings.log.schemas import SCHEMAS


def batches(folder: Path, kind: str) -> Iterator[pa.RecordBatch]:
    """The rows of a kind, ``predictions`` or ``feedback``, in the order in which they were written.

    Raises:
        UserError: there is no such folder, or a part is damaged.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    schema = SCHEMAS[kind]
    # The open files first: a file that becomes a part while this runs would otherwise be in neither list.
    lines = {path.name.removesuffix(parts.OPEN): _lines(path, schema) for path in parts.open_files(folder, kind)}
    for path in parts.part_files(folder, kind):
        lines.pop(path.name.removesuffix(parts.PART), None)
        if path.exists():  # the service removes the oldest parts
            yield from parquet.read_batches(path, schema)
    for rows in lines.values():
        yield from rows


def _lines(path: Path, schema: pa.Schema) -> list[pa.RecordBatch]:
    """The rows of an open file, which has 4 MB at most; none if it became a part."""
    try:
        return list(parts.as_batches(parts.read_lines(path), schema))
    except FileNotFoundError:
        return []
    except pa.ArrowInvalid as error:
        raise UserError(f"{path}: not lines of this log ({first_line(error)})") from None
