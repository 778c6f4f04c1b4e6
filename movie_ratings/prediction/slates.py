"""A slate: the predictions of films that are not out yet, in one dated file, so that they can be scored later.

The file has what was known of each film on that day, what the model predicted from it, and what scoring needs: version,
thresholds and base rates of the model. No slate is ever overwritten.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from movie_ratings.movies.labels import CLASSES
from movie_ratings.movies.record import MOVIE
from movie_ratings.movies.validation import ValidMovie
from movie_ratings.prediction.bulk import columns
from movie_ratings.prediction.classifier import Classifier

PREDICTED: Final = pa.schema(
    [
        ("label", pa.string()),
        *((f"probability_{name}", pa.float64()) for name in CLASSES),
        ("predicted_rating", pa.float64()),  # 0 to 10
        ("predicted_rating_low", pa.float64()),  # the ends of the 80% interval
        ("predicted_rating_high", pa.float64()),
        ("model_version", pa.string()),
        ("threshold_low", pa.float64()),  # of the model's classes
        ("threshold_high", pa.float64()),
        *((f"base_rate_{name}", pa.float64()) for name in CLASSES),
        ("asked", pa.timestamp("ms", tz="UTC")),  # when the facts were asked for
    ]
)
SLATE: Final = pa.schema([*MOVIE, *PREDICTED])
BATCH: Final = 1_000  # films that are predicted at a time


def answered(
    classifier: Classifier, films: Sequence[tuple[Mapping[str, Any], ValidMovie]], asked: datetime
) -> pa.Table:
    """The slate of ``films``, each a movie record and the facts that the model reads."""
    model = {
        "model_version": classifier.version,
        "threshold_low": classifier.metadata.thresholds.low,
        "threshold_high": classifier.metadata.thresholds.high,
        **{f"base_rate_{name}": share for name, share in classifier.base_rates.items()},
        "asked": asked,
    }
    return pa.Table.from_batches(_batches(classifier, films, model), SLATE)


def _batches(
    classifier: Classifier, films: Sequence[tuple[Mapping[str, Any], ValidMovie]], model: Mapping[str, Any]
) -> Iterator[pa.RecordBatch]:
    for first in range(0, len(films), BATCH):
        part = films[first : first + BATCH]
        predictions = classifier.predict_validated([facts for _, facts in part])
        rows = [
            {**record, **columns(prediction), **model}
            for (record, _), prediction in zip(part, predictions, strict=True)
        ]
        yield pa.RecordBatch.from_pylist(rows, SLATE)


def place(folder: Path, asked: datetime) -> Path:
    """The file of a new slate: DATE.parquet, or DATE-HHMMSS.parquet where the day has one already."""
    path = folder / f"{asked:%Y-%m-%d}.parquet"
    number = 1
    while path.exists():
        later = f"-{number}" if number > 1 else ""
        path, number = folder / f"{asked:%Y-%m-%d-%H%M%S}{later}.parquet", number + 1
    return path


def ranked(slate: pa.Table) -> list[dict[str, Any]]:
    """The films of a slate as rows of a list, those with the best predicted rating first."""
    films = sorted(slate.to_pylist(), key=lambda film: (-film["predicted_rating"], film["id"]))
    return [
        {
            "rank": rank,
            "title": film["title"],
            "release_date": film["release_date"],
            "genres": ", ".join(film["genres"] or []),
            "directors": ", ".join(film["directors"] or []),
            "label": film["label"],
            "predicted_rating": round(film["predicted_rating"], 2),
            "predicted_rating_low": round(film["predicted_rating_low"], 2),
            "predicted_rating_high": round(film["predicted_rating_high"], 2),
            **{f"probability_{name}": round(film[f"probability_{name}"], 3) for name in CLASSES},
            "tmdb_id": film["id"],
        }
        for rank, film in enumerate(films, 1)
    ]
