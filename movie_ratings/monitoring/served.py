"""The log of what was served: its movies, its answers, and the answers whose truth is known by now."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from movie_ratings.core.errors import UserError, first_line
from movie_ratings.log import read
from movie_ratings.model.answers import Answers, Ratings
from movie_ratings.monitoring.summary import Summary
from movie_ratings.movies.labels import CLASSES, Thresholds, class_indices, label_indices


@dataclass
class Served:
    """What the log has of some days. ``movies`` counts each movie once, however often it was predicted.

    ``labels`` has the number of answers of each class, ``versions`` that of each model. ``labelled`` and ``rated`` are
    the predictions with a true label and those with a true rating.
    """

    movies: Summary
    labels: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    labelled: Answers = field(default_factory=lambda: _answers([], None))
    rated: Answers = field(default_factory=lambda: _answers([], None))


def read_log(folder: Path, days: float, fields: Sequence[str], thresholds: Thresholds) -> Served:
    """Read the predictions of the last ``days`` days, and all feedback about them.

    A true rating gives the true label too, by ``thresholds``.

    Raises:
        UserError: there is no such folder, or a part of the log is damaged.
    """
    since = pa.scalar(datetime.now(UTC) - timedelta(days=days), pa.timestamp("ms", "UTC"))
    truth = {row["id"]: row for batch in read.batches(folder, "feedback") for row in batch.to_pylist()}
    found, seen, judged = Served(Summary(fields)), set[str](), list[dict[str, Any]]()
    for batch in read.batches(folder, "predictions"):
        for row in batch.filter(pc.greater_equal(batch["time"], since)).to_pylist():
            if row["id"] in truth:
                judged.append(row)
            # A monitor's own requests, or a popular title, would else outweigh all other movies.
            key = f"{row['input_hash']} {row['model_version']}"
            if key in seen:
                continue
            seen.add(key)
            found.labels[row["label"]] += 1
            found.versions[row["model_version"]] += 1
            if row["movie"] is None:
                found.movies.add_known(row["known"] or ())
            else:
                found.movies.add(_movie(row["movie"], folder))
    found.labelled = _answers([(row, truth[row["id"]]) for row in judged], thresholds)
    found.rated = _answers(
        [(row, truth[row["id"]]) for row in judged if truth[row["id"]]["rating"] is not None], thresholds
    )
    return found


def _movie(text: str, folder: Path) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{folder}: a movie in the log is not JSON ({first_line(error)})") from None
    return found if isinstance(found, dict) else {}


def _answers(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], thresholds: Thresholds | None) -> Answers:
    """Predictions beside their truth; they have ratings if each truth is one."""
    rows, truths = [row for row, _ in pairs], [truth for _, truth in pairs]
    ratings = np.array(
        [truth["rating"] if truth["rating"] is not None else np.nan for truth in truths], dtype=np.float64
    )
    labels = label_indices(truth["label"] or CLASSES[0] for truth in truths)
    if thresholds is not None:
        labels = np.where(np.isnan(ratings), labels, class_indices(ratings, thresholds))
    probabilities = np.array([[row[f"probability_{name}"] for name in CLASSES] for row in rows]).reshape(
        -1, len(CLASSES)
    )
    predicted, low, high = (
        np.array([row[name] for row in rows], dtype=np.float64)
        for name in ("predicted_rating", "predicted_rating_low", "predicted_rating_high")
    )
    return Answers(
        labels,
        label_indices(row["label"] for row in rows),
        probabilities,
        None if np.isnan(ratings).any() else Ratings(ratings, predicted, np.stack([low, high], axis=1)),
    )
