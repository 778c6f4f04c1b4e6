"""Movies from a Hugging Face data set, streamed: by its name on the hub, or in a local folder."""

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, DatasetDict, IterableDataset, load_dataset, load_from_disk

from movie_ratings.core.errors import UserError
from movie_ratings.params import Fetch, Hub
from movie_ratings.sources.fetch_report import FetchReport
from movie_ratings.sources.tables import records
from movie_ratings.sources.tables.chunks import CHUNK, Part, from_arrow


def batches(params: Fetch, report: FetchReport) -> Iterator[pa.RecordBatch]:
    """The rows of ``params.hub.split``, in order.

    Raises:
        UserError: the data set cannot be loaded, or as `records.batches`.
    """
    yield from records.batches([DataSet(params.hub)], "hub", params.hub, report)


class DataSet:
    """A split of a data set, read as a table."""

    def __init__(self, options: Hub):
        self._options = options
        with self._one_line():
            self._rows = _load(options).with_format("arrow")

    def __str__(self) -> str:
        return f"{self._options.name} ({self._options.split})"

    @property
    def unit(self) -> str:
        """See `movie_ratings.sources.tables.reader.Tabular`."""
        return "row"

    def columns(self) -> list[str]:
        """See `movie_ratings.sources.tables.reader.Tabular`."""
        with self._one_line():
            known: list[str] | None = self._rows.column_names
            return known or next(iter(self._rows.iter(1))).column_names

    def parts(self, names: Sequence[str], needed: Sequence[str]) -> Iterator[Part]:
        """See `movie_ratings.sources.tables.reader.Tabular`."""
        first = 1
        with self._one_line():
            for table in self._rows.iter(CHUNK.rows):
                yield functools.partial(from_arrow, table.select(names), first)
                first += len(table)

    @contextmanager
    def _one_line(self) -> Iterator[None]:
        """Make one line of whatever the library raises.

        The library has no common exception: the name, the network, the split, and files whose columns differ each
        raise their own, some of them with the cause inside.
        """
        try:
            yield
        except (UserError, GeneratorExit):
            raise
        except Exception as error:
            cause = error.__cause__ or error
            raise UserError(f"fetch.hub: {self}: {' '.join(str(cause).split())[:300]}") from None


def _load(options: Hub) -> Any:
    folder = Path(options.name or "")
    if (folder / "dataset_info.json").exists() or (folder / "dataset_dict.json").exists():
        found: Dataset | DatasetDict | IterableDataset = load_from_disk(str(folder))
        return found[options.split] if isinstance(found, DatasetDict) else found
    return load_dataset(options.name, options.config, split=options.split, streaming=True)
