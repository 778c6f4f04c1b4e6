"""Scores of the served model on the test split: headline figures, details, and tables for plots."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from movie_ratings.core.arrays import Floats, Ints, softmax
from movie_ratings.core.errors import UserError
from movie_ratings.core.paths import BASELINE_PREDICTIONS
from movie_ratings.evaluation import metrics
from movie_ratings.evaluation.slices import slices
from movie_ratings.model import confusion
from movie_ratings.model.answers import Answers
from movie_ratings.movies.labels import CLASSES, label_indices
from movie_ratings.movies.text import facts_among, without
from movie_ratings.params import Evaluate
from movie_ratings.prediction.classifier import Classifier

HEADLINE: Final = ("balanced_accuracy", "macro_f1", "log_loss")


@dataclass(frozen=True)
class Predictions:
    """The served model's predictions for the same movies, from two sets of fields.

    ``whole`` has the predictions from every field that the model reads, ``plot`` those from title, genres and summary
    alone. ``uncalibrated`` (movies, classes) has the transformer's probabilities as training left them: without
    calibration and without the linear part.
    """

    whole: Answers
    plot: Answers
    uncalibrated: Floats


def predict(classifier: Classifier, movies: Sequence[dict[str, Any]], labels: Ints) -> Predictions:
    """Predict each movie twice; ``labels`` are its true classes as indices, shape (movies,)."""
    logits = classifier.logits(movies)
    probabilities, predicted = classifier.decide(movies, logits)
    facts = facts_among(classifier.metadata.fields)
    plot_probabilities, plot_predicted = classifier.answer([without(movie, facts) for movie in movies])
    return Predictions(
        whole=Answers(labels, predicted, probabilities),
        plot=Answers(labels, plot_predicted, plot_probabilities),
        uncalibrated=softmax(logits[0]),
    )


def headline(predictions: Predictions) -> dict[str, Any]:
    """The few figures that DVC compares between experiments; with those of train they fit into 200 columns."""
    whole, plot = metrics.scores(predictions.whole), metrics.scores(predictions.plot)
    return {name: whole[name] for name in HEADLINE} | {"plot": {"balanced_accuracy": plot["balanced_accuracy"]}}


def details(predictions: Predictions, baselines: dict[str, Ints], options: Evaluate) -> dict[str, Any]:
    """Every score, with intervals, and the paired difference to each baseline.

    ``baselines`` holds the classes that each baseline predicted for the same movies, as indices of shape (movies,).
    """
    whole, uncalibrated = predictions.whole, predictions.uncalibrated
    before = metrics.scores(Answers(whole.labels, uncalibrated.argmax(axis=1), uncalibrated))
    return _scored(whole, options) | {
        "minus_baseline": {
            name: metrics.paired_difference(whole.labels, whole.predicted, theirs, options.bootstrap, options.seed)
            for name, theirs in baselines.items()
        },
        "plot": _scored(predictions.plot, options),
        "before_calibration": {name: before[name] for name in ("log_loss", "expected_calibration_error")},
    }


def tables(
    predictions: Predictions, movies: Sequence[dict[str, Any]], shares: Floats, options: Evaluate
) -> dict[str, pl.DataFrame]:
    """The tables under metrics/evaluate, by name; ``shares`` are the class shares of the training split."""
    whole = predictions.whole
    rows: dict[str, list[dict[str, Any]]] = {
        "reliability": metrics.reliability(whole.labels, whole.probabilities),
        "reliability_before": metrics.reliability(whole.labels, predictions.uncalibrated),
        "per_class": [{"class": name} | row for name, row in metrics.per_class(whole).items()],
        "coverage": metrics.coverage(whole),
        "trade_off": metrics.trade_off(whole.labels, whole.probabilities, shares),
    }
    return {name: pl.DataFrame(found) for name, found in rows.items()} | {"slices": slices(movies, whole, options)}


def per_movie(ids: pl.Series, answers: Answers) -> pl.DataFrame:
    """The true class, the predicted class and the probabilities of each movie."""
    columns = {name: answers.probabilities[:, k] for k, name in enumerate(CLASSES)}
    return pl.DataFrame(
        {"id": ids, "actual": _names(answers.labels), "predicted": _names(answers.predicted)}
        | {f"probability_{name}": column for name, column in columns.items()}
    )


def baseline_classes(table: pa.Table, ids: Sequence[int]) -> dict[str, Ints]:
    """The classes that each baseline predicted, as indices of shape (movies,); ``table`` is the baseline stage's.

    Raises:
        UserError: a baseline predicted other movies than ``ids``.
    """
    classes: dict[str, Ints] = {}
    for name in dict.fromkeys(table["model"].to_pylist()):
        rows = table.filter(pc.equal(table["model"], name))
        if rows["id"].to_pylist() != list(ids):
            raise UserError(
                f"{BASELINE_PREDICTIONS}: {name} predicted other movies than the test split; run `dvc repro`"
            )
        classes[name] = label_indices(rows["prediction"].to_pylist())
    return classes


def _scored(answers: Answers, options: Evaluate) -> dict[str, Any]:
    return metrics.scores(answers) | {
        "rows": len(answers.labels),
        "interval_95": metrics.intervals(answers.labels, answers.predicted, options.bootstrap, options.seed),
        "per_class": metrics.per_class(answers),
        "confusion": confusion.matrix(answers.labels, answers.predicted).tolist(),
    }


def _names(indices: Ints) -> list[str]:
    return [CLASSES[index] for index in indices]
