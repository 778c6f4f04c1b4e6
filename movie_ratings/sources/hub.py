"""Movies from a Hugging Face data set, streamed: by its name on the hub, or in a local folder."""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, DatasetDict, IterableDataset, load_dataset, load_from_disk

from movie_ratings.core.errors import UserError
from movie_ratings.params import Fetch, Hub
from movie_ratings.sources.fetch_report import FetchReport
from movie_ratings.sources.tables.chunks import CHUNK, Part, from_arrow
from movie_ratings.sources.tables.records import record_batches, require_few_broken


def batches(params: Fetch, report: FetchReport) -> Iterator[pa.RecordBatch]:
    """The rows of ``params.hub.split``, in order.

    Raises:
        UserError: the data set cannot be loaded, lacks a column for title, summary or rating, or too many rows are
            broken.
    """
    options = params.hub
    report.counts = {"read": 0, "broken": 0}
    yield from record_batches(_DataSet(options), "hub", options.mapping, options.rating_scale, report)
    require_few_broken("hub", report, options.max_bad_share)


class _DataSet:
    """A split of a data set, read as a table."""

    def __init__(self, options: Hub):
        self._options = options
        try:
            self._rows = _load(options).with_format("arrow")
        # The library has no common exception: the name, the network, the files and the split each raise their own.
        except Exception as error:
            raise UserError(f"fetch.hub: {self}: {' '.join(str(error).split())[:300]}") from None

    def __str__(self) -> str:
        return f"{self._options.name} ({self._options.split})"

    def columns(self) -> list[str]:
        known: list[str] | None = self._rows.column_names
        return known or next(iter(self._rows.iter(1))).column_names

    def parts(self, names: Sequence[str], needed: Sequence[str]) -> Iterator[Part]:
        first = 1
        for table in self._rows.iter(CHUNK):
            yield functools.partial(from_arrow, table.select(names), first)
            first += len(table)


def _load(options: Hub) -> Any:
    folder = Path(options.name or "")
    if (folder / "dataset_info.json").exists() or (folder / "dataset_dict.json").exists():
        found: Dataset | DatasetDict | IterableDataset = load_from_disk(str(folder))
        return found[options.split] if isinstance(found, DatasetDict) else found
    return load_dataset(options.name, options.config, split=options.split, streaming=True)
