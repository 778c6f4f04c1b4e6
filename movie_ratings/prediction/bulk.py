"""Predictions for every movie of a file, a batch at a time."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from movie_ratings.core.errors import UserError
from movie_ratings.prediction import movie_files
from movie_ratings.prediction.classifier import Classifier, Prediction, require_movie

BATCH: Final = 1_000


def predict_file(classifier: Classifier, source: Path, target: Path, progress: bool = True) -> int:
    """Predict every movie of ``source`` into ``target`` (CSV, JSON lines or Parquet by suffix); return how many.

    ``progress`` shows a bar on standard error.

    Raises:
        UserError: the source cannot be read; the message says where.
    """

    rows = 0
    types = {kept_as(name): kind for name, kind in movie_files.types(source).items()}
    with movie_files.Writer(target, types) as writer, tqdm(desc="predict", unit=" movies", disable=not progress) as bar:
        for batch in movie_files.read(source, BATCH):
            for place, movie in batch:
                require_movie(movie, place)
                if {"label", "true_label"} <= movie.keys():
                    raise UserError(f"{place}: both a label and a true_label; drop one, label becomes true_label")
            predictions = classifier.predict([movie for _, movie in batch])
            writer.write([joined(movie, p) for (_, movie), p in zip(batch, predictions, strict=True)])
            rows += len(batch)
            bar.update(len(batch))
    return rows


def kept_as(column: str) -> str:
    """What a column of the input is called beside the answers, which have a ``label`` of their own."""
    return "true_label" if column == "label" else column


def joined(movie: Mapping[str, Any], prediction: Prediction) -> dict[str, Any]:
    """The input's columns and the prediction's; a ``label`` that came along is kept as ``true_label``."""
    own = {kept_as(name): value for name, value in movie.items()}
    probabilities = {f"probability_{name}": p for name, p in prediction.probabilities.items()}
    return own | {"label": prediction.label} | probabilities
