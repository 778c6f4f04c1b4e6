"""A source's report, beside the movies."""

from dataclasses import dataclass, field
from typing import Any

from movie_ratings.sources.tables.reader import TableReport


@dataclass
class FetchReport:
    """What a source has read.

    ``counts`` and ``details``, such as the version of a table that was read, are for metrics/details/fetch.json.
    ``failed`` has the rows or movies that could not be read, with reasons, for data/raw/failed.jsonl. ``tables`` says
    how each table was read, for the sources of tables.
    """

    counts: dict[str, int] = field(default_factory=dict)
    failed: list[dict[str, Any]] = field(default_factory=list)
    tables: list[TableReport] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
