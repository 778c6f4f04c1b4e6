"""Scores of the served model on the test split: headline figures, details, and tables for plots."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from movie_ratings.core.arrays import Floats, Ints, softmax
from movie_ratings.core.errors import UserError
from movie_ratings.core.paths import BASELINE_PREDICTIONS
from movie_ratings.evaluation import metrics
from movie_ratings.evaluation.slices import interval_slices, slices
from movie_ratings.model import confusion
from movie_ratings.model.answers import Answers, Ratings
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

    @property
    def views(self) -> dict[str, Answers]:
        """The predictions by what the model was given of each movie."""
        return {"every field": self.whole, "title, genres and summary": self.plot}


def predict(classifier: Classifier, movies: Sequence[dict[str, Any]]) -> Predictions:
    """Predict each movie, which has its label and its rating, twice."""
    facts = facts_among(classifier.metadata.fields)
    bare = [without(movie, facts) for movie in movies]
    logits = classifier.logits(movies)
    return Predictions(
        whole=_answers(classifier, movies, logits),
        plot=_answers(classifier, bare, classifier.logits(bare)),
        uncalibrated=softmax(logits[0]),
    )


def _answers(classifier: Classifier, movies: Sequence[dict[str, Any]], logits: Floats) -> Answers:
    probabilities, predicted = classifier.decide(movies, logits)
    true = np.array([movie["rating"] for movie in movies], dtype=np.float64)
    labels = label_indices(movie["label"] for movie in movies)
    return Answers(labels, predicted, probabilities, Ratings(true, *classifier.rate(movies, probabilities)))


def headline(predictions: Predictions) -> dict[str, Any]:
    """The few figures that DVC compares between experiments; with those of train they fit into 200 columns."""
    whole, plot = metrics.scores(predictions.whole), metrics.scores(predictions.plot)
    return {name: whole[name] for name in HEADLINE} | {"plot": {"balanced_accuracy": plot["balanced_accuracy"]}}


@dataclass(frozen=True)
class BaselineAnswers:
    """What a baseline predicted for the test movies: classes as indices (movies,), and ratings (movies,)."""

    classes: Ints
    ratings: Floats


def details(predictions: Predictions, baselines: dict[str, BaselineAnswers], options: Evaluate) -> dict[str, Any]:
    """Every score, with intervals, and the paired difference to each baseline."""
    whole, uncalibrated = predictions.whole, predictions.uncalibrated
    assert whole.ratings is not None
    ratings, drawn = whole.ratings, (options.bootstrap, options.seed)
    before = metrics.scores(Answers(whole.labels, uncalibrated.argmax(axis=1), uncalibrated))
    return _scored(whole, options) | {
        "minus_baseline": {
            name: metrics.paired_difference(whole.labels, whole.predicted, theirs.classes, *drawn)
            | {"mean_absolute_error": metrics.paired_error(ratings, replace(ratings, predicted=theirs.ratings), *drawn)}
            for name, theirs in baselines.items()
        },
        "decisions": metrics.decisions(whole),
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
    found = {"slices": slices(movies, whole, options), "intervals": interval_slices(movies, predictions.views)}
    return {name: pl.DataFrame(table) for name, table in rows.items()} | found


def per_movie(ids: pl.Series, answers: Answers) -> pl.DataFrame:
    """The true and the predicted class, the probabilities, and the true and the predicted rating of each movie."""
    assert answers.ratings is not None
    columns = {name: answers.probabilities[:, k] for k, name in enumerate(CLASSES)}
    low, high = answers.ratings.intervals.T
    return pl.DataFrame(
        {"id": ids, "actual": _names(answers.labels), "predicted": _names(answers.predicted)}
        | {f"probability_{name}": column for name, column in columns.items()}
        | {"rating": answers.ratings.true, "predicted_rating": answers.ratings.predicted}
        | {"predicted_rating_low": low, "predicted_rating_high": high}
    )


def baseline_answers(table: pa.Table, ids: Sequence[int]) -> dict[str, BaselineAnswers]:
    """What each baseline predicted; ``table`` is the baseline stage's.

    Raises:
        UserError: a baseline predicted other movies than ``ids``.
    """
    found: dict[str, BaselineAnswers] = {}
    for name in dict.fromkeys(table["model"].to_pylist()):
        rows = table.filter(pc.equal(table["model"], name))
        if rows["id"].to_pylist() != list(ids):
            raise UserError(
                f"{BASELINE_PREDICTIONS}: {name} predicted other movies than the test split; run `dvc repro`"
            )
        classes = label_indices(rows["prediction"].to_pylist())
        found[name] = BaselineAnswers(classes, rows["predicted_rating"].to_numpy())
    return found


def _scored(answers: Answers, options: Evaluate) -> dict[str, Any]:
    assert answers.ratings is not None
    drawn = (options.bootstrap, options.seed)
    return metrics.scores(answers) | {
        "rows": len(answers.labels),
        "interval_95": metrics.intervals(answers.labels, answers.predicted, *drawn)
        | metrics.rating_intervals(answers.ratings, *drawn),
        "per_class": metrics.per_class(answers),
        "confusion": confusion.matrix(answers.labels, answers.predicted).tolist(),
    }


def _names(indices: Ints) -> list[str]:
    return [CLASSES[index] for index in indices]
