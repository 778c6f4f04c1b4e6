"""Read rows of Parquet files."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from movie_ratings.sources.tables.chunks import CHUNK, Chunk, Part, Size, from_arrow


class ParquetRows:
    """The rows of one file."""

    def __init__(self, file: Any, size: Size = CHUNK):
        """``file`` must be seekable and stay open while rows are read; ``size`` is that of a chunk."""
        self._size = size
        self._file = pq.ParquetFile(file, pre_buffer=False)

    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self._file.schema_arrow.names)

    def types(self) -> dict[str, pa.DataType]:
        """The types of the columns."""
        schema = self._file.schema_arrow
        return dict(zip(schema.names, schema.types, strict=True))

    def parts(self, names: Sequence[str], needed: Sequence[str]) -> Iterator[Part]:
        """The columns ``names``, as they are typed."""
        first = 1
        for batch in self._file.iter_batches(batch_size=self._size.rows, columns=list(names)):
            yield functools.partial(_checked, batch, first)
            first += batch.num_rows


def _checked(batch: pa.RecordBatch, first: int) -> Chunk:
    """The rows of a batch. pyarrow does not check by itself that texts are valid UTF-8."""
    batch.validate(full=True)
    return from_arrow(batch, first)
