"""Predictions for every movie of a table, a batch at a time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from tqdm import tqdm

from movie_ratings.core.errors import UserError
from movie_ratings.movies.validation import ValidMovie
from movie_ratings.prediction.classifier import BALANCED, Classifier, Decision, Prediction
from movie_ratings.prediction.explain import explain, reasons
from movie_ratings.prediction.movie_table import MovieTable
from movie_ratings.prediction.steps import Steps
from movie_ratings.prediction.writer import Writer

BATCH: Final = 1_000
REASONS: Final = ("reason_1", "reason_2", "reason_3")  # columns


@dataclass(frozen=True)
class Answer:
    """What is added to each movie: a prediction with the label by ``decision``, and, if ``explained``, its reasons."""

    decision: Decision = BALANCED
    explained: bool = False

    @property
    def types(self) -> dict[str, Any]:
        """The Arrow types of columns whose first values may all be missing."""
        return dict.fromkeys(REASONS, pa.string()) if self.explained else {}

    def each(self, classifier: Classifier, movies: Sequence[ValidMovie]) -> Iterator[tuple[Prediction, list[str]]]:
        """The prediction of each movie and its strongest reasons: none unless they are ``explained``."""
        if not self.explained:
            yield from ((found.decided(self.decision), []) for found in classifier.predict_validated(movies))
            return
        for movie in movies:
            explanation = explain(classifier, movie, self.decision, "phrases")
            yield explanation.prediction, reasons(explanation, len(REASONS))

    def columns(self, classifier: Classifier, movies: Sequence[ValidMovie]) -> Iterator[dict[str, Any]]:
        """The columns of the output, movie by movie: ``reason_1`` is the strongest one, None stands for no reason."""
        for prediction, found in self.each(classifier, movies):
            yield columns(prediction) | (dict(zip_longest(REASONS, found)) if self.explained else {})


def predict_table(
    classifier: Classifier, table: MovieTable, target: Path, answer: Answer | None = None, progress: bool = True
) -> int:
    """Predict every movie of ``table`` into ``target``, in the format of its suffix; return their number.

    ``progress`` shows a bar on standard error.

    Raises:
        UserError: the table cannot be read; the message names the line.
    """
    require_place_for_label(table)
    answer, count = answer or Answer(), 0
    with (
        Writer(target, output_types(table) | answer.types) as writer,
        tqdm(desc="predict", unit=" movies", disable=not progress) as bar,
    ):
        for batch in table.batches(BATCH):
            found = []
            for added in answer.columns(classifier, batch.movies):
                found.append(added)
                bar.update()
            writer.write(joined(batch.rows, found))
            count += len(batch.movies)
    return count


def require_place_for_label(table: MovieTable) -> None:
    """Check that all columns of the table can be kept beside the predictions.

    Raises:
        UserError: they cannot.
    """
    if {"label", "true_label"} <= set(table.columns):
        raise UserError(f"{table}: both a label and a true_label; drop one, label becomes true_label")


def predict_in_steps(classifier: Classifier, movies: Sequence[ValidMovie]) -> Steps[list[Prediction]]:
    """The predictions that `predict_table` would write for ``movies``, with pauses."""
    predictions: list[Prediction] = []
    for first in range(0, len(movies), BATCH):
        predictions += yield from classifier.predict_in_steps(movies[first : first + BATCH])
    return predictions


def output_types(table: MovieTable) -> dict[str, Any]:
    """The Arrow types of the columns that the output takes over from the table, as far as its format has types."""
    return {output_name(name): kind for name, kind in table.types.items()}


def output_name(column: str) -> str:
    """The name of an input's column in the output, whose own ``label`` is the predicted one."""
    return "true_label" if column == "label" else column


def joined(rows: Sequence[Mapping[str, Any]], added: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the output: the input's columns, then those that are ``added``."""
    return [
        {output_name(name): value for name, value in row.items()} | dict(more)
        for row, more in zip(rows, added, strict=True)
    ]


def columns(prediction: Prediction) -> dict[str, Any]:
    """A prediction as columns of the output: ``label``, ``probability_bad``, …, ``predicted_rating``, …"""
    low, high = prediction.interval_80
    return {
        "label": prediction.label,
        **{f"probability_{name}": p for name, p in prediction.probabilities.items()},
        "predicted_rating": prediction.predicted_rating,
        "predicted_rating_low": low,
        "predicted_rating_high": high,
    }
