"""A source's report, beside the movies."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class FetchReport:
    """Counts for metrics/details/fetch.json; rows or movies that failed, with reasons, for data/raw/failed.jsonl."""

    counts: dict[str, int] = field(default_factory=dict)
    failed: list[dict[str, Any]] = field(default_factory=list)
