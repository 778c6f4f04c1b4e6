"""Slates of invented films, as `stages.slate` writes them."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from movie_ratings.core import parquet
from movie_ratings.prediction.slates import SLATE

PREDICTED = {
    "label": "average", "probability_bad": 0.2, "probability_average": 0.6, "probability_good": 0.2,
    "predicted_rating": 6.0, "predicted_rating_low": 5.0, "predicted_rating_high": 7.0, "model_version": "0123456789ab",
    "threshold_low": 5.5, "threshold_high": 7.0,
    "base_rate_bad": 0.15, "base_rate_average": 0.7, "base_rate_good": 0.15,
    "asked": datetime(2026, 12, 1, 8, 30, tzinfo=UTC),
}  # fmt: skip


def film(number: int, **values: Any) -> dict[str, Any]:
    """A row of a slate; the predicted rating falls with ``number``."""
    known = {"id": number, "source": "tmdb", "title": f"Film {number}", "release_date": date(2027, 2, 3)}
    return dict.fromkeys(SLATE.names) | known | PREDICTED | {"predicted_rating": 8 - number / 1_000} | values


def write(path: Path, *films: dict[str, Any]) -> Path:
    """A slate with ``films``."""
    parquet.write_table(path, pa.Table.from_pylist(list(films), SLATE))
    return path
