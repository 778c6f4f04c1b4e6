"""A source's report, beside the movies."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class FetchReport:
    """What a source reports.

    ``counts`` and ``details``, such as the version of a table that was read, are for metrics/details/fetch.json;
    ``failed``, rows or movies with the reasons, is for data/raw/failed.jsonl.
    """

    counts: dict[str, int] = field(default_factory=dict)
    failed: list[dict[str, Any]] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
