"""Confusion matrices, of shape (true classes, predicted classes), and the scores that follow from one.

The entries are counts, or expected counts where the true class of each movie is uncertain.
"""

import numpy as np

from movie_ratings.core.arrays import Floats, Ints
from movie_ratings.movies.labels import CLASSES

Confusion = Floats | Ints


def matrix(labels: Ints, predicted: Ints) -> Ints:
    """Count the movies of each true and predicted class; both arguments are class indices of shape (movies,)."""
    return matrices(labels[None], predicted[None])[0]


def matrices(labels: Ints, predicted: Ints) -> Ints:
    """The matrix of each row of class indices (samples, movies): (samples, true classes, predicted classes)."""
    cells = len(CLASSES) ** 2
    places = np.arange(len(labels))[:, None] * cells + labels * len(CLASSES) + predicted
    return np.bincount(places.ravel(), minlength=len(labels) * cells).reshape(-1, len(CLASSES), len(CLASSES))


def class_figures(confusion: Confusion) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 of each class, each of shape (..., classes); 0 where the denominator is 0.

    ``confusion`` is one matrix, or several: (..., true classes, predicted classes).
    """
    counts = np.asarray(confusion, dtype=np.float64)
    true, predicted, hits = counts.sum(axis=-1), counts.sum(axis=-2), np.diagonal(counts, axis1=-2, axis2=-1)
    return _ratio(hits, predicted), _ratio(hits, true), _ratio(2 * hits, true + predicted)


def scores(confusion: Confusion) -> dict[str, float]:
    """Accuracy, balanced accuracy and macro-F1; classes without a true movie are left out of the two means."""
    return {name: float(values[0]) for name, values in scores_of_each(confusion[None]).items()}


def scores_of_each(confusions: Confusion) -> dict[str, Floats]:
    """`scores` of several matrices (samples, true classes, predicted classes), each figure of shape (samples,)."""
    _, recall, f1 = class_figures(confusions)
    present = confusions.sum(axis=2) > 0
    count = present.sum(axis=1)
    return {
        "accuracy": np.trace(confusions, axis1=1, axis2=2) / confusions.sum(axis=(1, 2)),
        "balanced_accuracy": (recall * present).sum(axis=1) / count,
        "macro_f1": (f1 * present).sum(axis=1) / count,
    }


def _ratio(part: Floats, whole: Floats) -> Floats:
    ratio: Floats = np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
    return ratio
