"""Figures of merit of a classifier: pure functions of labels, answers and probabilities."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    log_loss,
    precision_recall_fscore_support,
)

from movie_ratings.core.arrays import Floats, Ints
from movie_ratings.model import confusion as model_confusion
from movie_ratings.model.decision import STRENGTHS, prior_corrected
from movie_ratings.movies.labels import CLASSES

BINS = 10
INDICES = list(range(len(CLASSES)))


def scores(labels: Ints, predicted: Ints, probabilities: Floats) -> dict[str, float]:
    """The headline figures of class indices (rows,), answers (rows,) and probabilities (rows, classes)."""
    return answer_scores(labels, predicted) | {
        "log_loss": float(log_loss(labels, probabilities, labels=INDICES)),
        "expected_calibration_error": expected_calibration_error(labels, probabilities),
    }


def answer_scores(labels: Ints, predicted: Ints) -> dict[str, float]:
    """The figures that depend on the answers alone."""
    precision, recall, f1, _ = precision_recall_fscore_support(labels, predicted, labels=INDICES, zero_division=0.0)
    kappa = cohen_kappa_score(labels, predicted, labels=INDICES, weights="quadratic")
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "balanced_accuracy": float(recall.mean()),
        "macro_precision": float(precision.mean()),
        "macro_recall": float(recall.mean()),
        "macro_f1": float(f1.mean()),
        # One class answered throughout agrees with the truth exactly as much as chance does.
        "quadratic_kappa": float(np.nan_to_num(kappa)),
        # How many classes an answer is off, on average: bad for good counts two.
        "mean_absolute_class_error": float(np.abs(labels - predicted).mean()),
    }


def per_class(labels: Ints, predicted: Ints) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and number of rows of each class."""
    table = precision_recall_fscore_support(labels, predicted, labels=INDICES, zero_division=0.0)
    return {
        name: {"precision": float(p), "recall": float(r), "f1": float(f), "rows": int(n)}
        for name, p, r, f, n in zip(CLASSES, *table, strict=True)
    }


def reliability(labels: Ints, probabilities: Floats) -> list[dict[str, float]]:
    """For each of ten equal-width bins of the top label's probability: mean confidence, accuracy and rows.

    Empty bins are left out.
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
    """Mean gap between confidence and accuracy of the top label, weighted by rows, over ten equal-width bins.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
    """
    bins = reliability(labels, probabilities)
    return sum(b["rows"] * abs(b["confidence"] - b["accuracy"]) for b in bins) / len(labels)


def bootstrap(rows: int, figures: Callable[[Ints], dict[str, float]], samples: int, seed: int) -> dict[str, Any]:
    """95% percentile intervals of ``figures(row indices)`` over ``samples`` resamples of the rows."""
    generator = np.random.default_rng(seed)
    drawn = [figures(generator.integers(0, rows, rows)) for _ in range(samples)]
    return {
        name: [float(q) for q in np.quantile([figure[name] for figure in drawn], [0.025, 0.975])] for name in drawn[0]
    }


def intervals(labels: Ints, predicted: Ints, samples: int, seed: int) -> dict[str, Any]:
    """95% intervals of `fast_scores`, by bootstrap over the rows."""
    return bootstrap(len(labels), lambda drawn: fast_scores(labels[drawn], predicted[drawn]), samples, seed)


def paired_difference(labels: Ints, ours: Ints, theirs: Ints, samples: int, seed: int) -> dict[str, Any]:
    """What one set of answers to the same rows gains over another, with 95% intervals."""

    def gain(drawn: Ints) -> dict[str, float]:
        mine, others = (fast_scores(labels[drawn], answers[drawn]) for answers in (ours, theirs))
        return {name: mine[name] - others[name] for name in mine}

    rows = len(labels)
    return {"difference": gain(np.arange(rows)), "interval_95": bootstrap(rows, gain, samples, seed)}


def fast_scores(labels: Ints, predicted: Ints) -> dict[str, float]:
    """Accuracy, balanced accuracy and macro-F1 from one confusion matrix: cheap enough for the bootstrap."""
    return model_confusion.scores(model_confusion.confusion_matrix(labels, predicted))


def confusion(labels: Ints, predicted: Ints) -> list[list[int]]:
    """Counts by true class (rows) and answered class (columns)."""
    counts: list[list[int]] = confusion_matrix(labels, predicted, labels=INDICES).tolist()
    return counts


def coverage(labels: Ints, predicted: Ints, probabilities: Floats) -> list[dict[str, float]]:
    """What abstaining would gain: figures on the most confident tenth of the rows, two tenths, up to all of them.

    Confidence is the probability of the most probable class. Source: El-Yaniv and Wiener, "On the Foundations of
    Noise-free Selective Classification", JMLR 2010.
    """
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    kept = [order[: max(1, round(len(labels) * tenth / 10))] for tenth in range(1, 11)]
    return [
        {"coverage": len(rows) / len(labels)}
        | fast_scores(labels[rows], predicted[rows])
        | {"most_probable_right": float((probabilities[rows].argmax(axis=1) == labels[rows]).mean())}
        for rows in kept
    ]


def trade_off(labels: Ints, probabilities: Floats, shares: Floats) -> list[dict[str, float]]:
    """Balanced accuracy and macro-F1 (and accuracy) for each strength of the prior correction."""
    return [
        {"strength": float(s)} | fast_scores(labels, prior_corrected(float(s), shares).classes(probabilities))
        for s in STRENGTHS
    ]


def perfectly_calibrated_error(probabilities: Floats, samples: int, seed: int) -> float:
    """The expected calibration error that these confidences would show if they were all true.

    With so many rows, chance alone leaves gaps in the bins; a smaller error than this cannot be asked for.
    """
    generator = np.random.default_rng(seed)
    edges = probabilities.cumsum(axis=1)
    drawn = [
        expected_calibration_error((generator.random((len(edges), 1)) > edges[:, :-1]).sum(axis=1), probabilities)
        for _ in range(samples)
    ]
    return float(np.mean(drawn))
