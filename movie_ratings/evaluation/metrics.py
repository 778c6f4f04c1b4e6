"""Figures of merit of a classifier and of its ratings: pure functions of what is true and what was predicted."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.metrics import cohen_kappa_score, log_loss

from movie_ratings.core.arrays import Floats, Ints
from movie_ratings.model import confusion
from movie_ratings.model.answers import Answers, Ratings
from movie_ratings.model.decision import STRENGTHS, prior_corrected
from movie_ratings.movies.labels import CLASSES

BINS = 10
INDICES = list(range(len(CLASSES)))
AT_ONCE = 100_000  # row indices of resamples in memory at a time


def scores(answers: Answers) -> dict[str, float]:
    """Compute the scores of the predicted classes, of the probabilities and, where there are any, of the ratings."""
    labels, predicted = answers.labels, answers.predicted
    matrix = confusion.matrix(labels, predicted)
    precision, recall, _ = confusion.class_figures(matrix)
    present = matrix.sum(axis=1) > 0
    kappa = cohen_kappa_score(labels, predicted, labels=INDICES, weights="quadratic")
    return (
        confusion.scores(matrix)
        | {
            "macro_precision": float(precision[present].mean()),
            "macro_recall": float(recall[present].mean()),
            # The library returns NaN where only one class occurs and is predicted: agreement is then what chance gives.
            "quadratic_kappa": float(np.nan_to_num(kappa)),
            # The mean distance in classes between prediction and truth: bad predicted for good counts two.
            "mean_absolute_class_error": float(np.abs(labels - predicted).mean()),
            "log_loss": float(log_loss(labels, answers.probabilities, labels=INDICES)),
            "expected_calibration_error": expected_calibration_error(labels, answers.probabilities),
        }
        | (rating_scores(answers.ratings) if answers.ratings else {})
    )


def rating_scores(ratings: Ratings) -> dict[str, float]:
    """The mean absolute error of the predicted ratings, and share and mean width of the intervals that hold the truth.

    Errors and widths are in rating points.
    """
    low, high = ratings.intervals.T
    return {
        "mean_absolute_error": float(ratings.errors.mean()),
        "interval_coverage": float(ratings.covered.mean()),
        "interval_width": float((high - low).mean()),
    }


def class_scores(labels: Ints, predicted: Ints) -> dict[str, float]:
    """Compute accuracy, balanced accuracy and macro-F1 of class indices (movies,)."""
    return confusion.scores(confusion.matrix(labels, predicted))


def per_class(answers: Answers) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and number of true movies of each class."""
    matrix = confusion.matrix(answers.labels, answers.predicted)
    columns = (*confusion.class_figures(matrix), matrix.sum(axis=1))
    return {
        name: {"precision": float(precision), "recall": float(recall), "f1": float(f1), "rows": int(rows)}
        for name, precision, recall, f1, rows in zip(CLASSES, *columns, strict=True)
    }


def reliability(labels: Ints, probabilities: Floats) -> list[dict[str, float]]:
    """Mean confidence, accuracy and number of rows in each of ten equal-width bins of confidence.

    Confidence is the probability of the most probable class. Empty bins are left out.
    """
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        {
            "confidence": float(confidence[bins == b].mean()),
            "accuracy": float(correct[bins == b].mean()),
            "rows": int(np.sum(bins == b)),
        }
        for b in range(BINS)
        if np.any(bins == b)
    ]


def expected_calibration_error(labels: Ints, probabilities: Floats) -> float:
    """Mean distance between confidence and accuracy over ten equal-width bins, each weighted by its rows.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
    """
    bins = reliability(labels, probabilities)
    return sum(b["rows"] * abs(b["confidence"] - b["accuracy"]) for b in bins) / len(labels)


def perfectly_calibrated_error(probabilities: Floats, samples: int, seed: int) -> float:
    """Estimate the expected calibration error of a perfectly calibrated model with the same probabilities.

    Labels are drawn from the probabilities ``samples`` times. With a few hundred rows the error is above zero by
    chance alone: no model can be expected to show a smaller one.
    """
    generator = np.random.default_rng(seed)
    edges = probabilities.cumsum(axis=1)
    drawn = [
        expected_calibration_error((generator.random((len(edges), 1)) > edges[:, :-1]).sum(axis=1), probabilities)
        for _ in range(samples)
    ]
    return float(np.mean(drawn))


def bootstrap(
    rows: int, figures: Callable[[Ints], Mapping[str, Floats]], samples: int, seed: int
) -> dict[str, list[float]]:
    """95% percentile intervals of figures over ``samples`` resamples of the rows.

    ``figures`` gets the row indices of several resamples (resamples, rows), and returns figures of shape (resamples,).
    """
    generator = np.random.default_rng(seed)
    at_once = max(1, AT_ONCE // rows)
    counts = [min(at_once, samples - first) for first in range(0, samples, at_once)]
    drawn = [figures(generator.integers(0, rows, (count, rows))) for count in counts]
    return {
        name: np.quantile(np.concatenate([part[name] for part in drawn]), [0.025, 0.975]).tolist() for name in drawn[0]
    }


def intervals(labels: Ints, predicted: Ints, samples: int, seed: int) -> dict[str, Any]:
    """95% intervals of `class_scores`, by bootstrap over the movies."""
    return bootstrap(len(labels), lambda drawn: _class_scores(labels[drawn], predicted[drawn]), samples, seed)


def rating_intervals(ratings: Ratings, samples: int, seed: int) -> dict[str, Any]:
    """95% intervals of `rating_scores`, by bootstrap over the movies."""
    low, high = ratings.intervals.T
    columns = {
        "mean_absolute_error": ratings.errors, "interval_coverage": ratings.covered, "interval_width": high - low
    }  # fmt: skip
    return bootstrap(
        len(low), lambda drawn: {name: c[drawn].mean(axis=1) for name, c in columns.items()}, samples, seed
    )


def paired_error(ours: Ratings, theirs: Ratings, samples: int, seed: int) -> dict[str, Any]:
    """The mean absolute error of ``ours`` minus that of ``theirs`` for the same movies, with its 95% interval.

    A difference below 0 means that the ratings of ``ours`` are nearer to the truth.
    """
    return _mean_with_interval(ours.errors - theirs.errors, samples, seed)


def paired_difference(labels: Ints, ours: Ints, theirs: Ints, samples: int, seed: int) -> dict[str, Any]:
    """`class_scores` of the predictions ``ours`` minus those of ``theirs`` for the same movies, with 95% intervals."""

    def difference(drawn: Ints) -> dict[str, Floats]:
        first, second = (_class_scores(labels[drawn], predicted[drawn]) for predicted in (ours, theirs))
        return {name: first[name] - second[name] for name in first}

    whole = {name: float(values[0]) for name, values in difference(np.arange(len(labels))[None]).items()}
    return {"difference": whole, "interval_95": bootstrap(len(labels), difference, samples, seed)}


def paired_log_loss(ours: Answers, theirs: Answers, samples: int, seed: int) -> dict[str, Any]:
    """The log-loss of ``ours`` minus that of ``theirs`` for the same movies, with its 95% interval.

    A difference below 0 means that the probabilities of ``ours`` are better.
    """
    rows = np.arange(len(ours.labels))
    first, second = (np.log(np.maximum(found.probabilities[rows, found.labels], 1e-15)) for found in (ours, theirs))
    return _mean_with_interval(second - first, samples, seed)


def _mean_with_interval(each: Floats, samples: int, seed: int) -> dict[str, Any]:
    """The mean of differences (movies,) with its 95% interval, by bootstrap over the movies."""
    drawn = bootstrap(len(each), lambda rows: {"mean": each[rows].mean(axis=1)}, samples, seed)
    return {"difference": float(each.mean()), "interval_95": drawn["mean"]}


def _class_scores(labels: Ints, predicted: Ints) -> dict[str, Floats]:
    """`class_scores` of each row of class indices (resamples, movies)."""
    return confusion.scores_of_each(confusion.matrices(labels, predicted))


def decisions(answers: Answers) -> dict[str, dict[str, Any]]:
    """Scores of the two kinds of label, with how many movies get each label and how many of these have it.

    ``balanced`` are the predicted classes, ``most_probable`` the classes with the largest probability. Beside the class
    scores, each has the share of the movies that get each label (``called``), and the share of these that have it
    (``right``; None where no movie gets it).
    """
    found = {}
    for name, predicted in (("balanced", answers.predicted), ("most_probable", answers.probabilities.argmax(axis=1))):
        matrix = confusion.matrix(answers.labels, predicted)
        called, right = matrix.sum(axis=0), np.diag(matrix)
        found[name] = confusion.scores(matrix) | {
            "called": {c: float(n / len(predicted)) for c, n in zip(CLASSES, called, strict=True)},
            "right": {c: float(r / n) if n else None for c, r, n in zip(CLASSES, right, called, strict=True)},
        }
    return found


def coverage(answers: Answers) -> list[dict[str, float]]:
    """Scores of the most confident tenth of the movies, of two tenths, up to all of them.

    They show what a model gains that abstains from the movies of which it is least confident. Source: El-Yaniv and
    Wiener, "On the Foundations of Noise-free Selective Classification", JMLR 2010.
    """
    labels, probabilities = answers.labels, answers.probabilities
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    parts = [order[: max(1, round(len(labels) * tenth / 10))] for tenth in range(1, 11)]
    return [
        {"coverage": len(rows) / len(labels)}
        | class_scores(labels[rows], answers.predicted[rows])
        | {"most_probable_right": float((probabilities[rows].argmax(axis=1) == labels[rows]).mean())}
        for rows in parts
    ]


def trade_off(labels: Ints, probabilities: Floats, shares: Floats) -> list[dict[str, float]]:
    """`class_scores` at each strength of the prior correction; ``shares`` are the class shares of training."""
    return [
        {"strength": float(s)} | class_scores(labels, prior_corrected(float(s), shares).classes(probabilities))
        for s in STRENGTHS
    ]
