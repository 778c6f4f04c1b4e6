"""What a source says of its own work, beside the movies."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class FetchReport:
    """Counts for metrics/fetch.json, and what could not be had for data/raw/failed.jsonl, each with its reason."""

    counts: dict[str, int] = field(default_factory=dict)
    failed: list[dict[str, Any]] = field(default_factory=list)
