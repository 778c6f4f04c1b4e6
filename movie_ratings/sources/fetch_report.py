"""What a source says of its own work, beside the movies."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class FetchReport:
    """Counts for metrics/details/fetch.json; what could not be had, with its reason, for data/raw/failed.jsonl."""

    counts: dict[str, int] = field(default_factory=dict)
    failed: list[dict[str, Any]] = field(default_factory=list)
