"""Confusion matrices, of shape (true classes, predicted classes), and the scores that follow from one.

The entries are counts, or expected counts where the true class of each movie is uncertain.
"""

import numpy as np

from movie_ratings.core.arrays import Floats, Ints
from movie_ratings.movies.labels import CLASSES

Confusion = Floats | Ints


def matrix(labels: Ints, predicted: Ints) -> Ints:
    """Count the movies of each true and predicted class; both arguments are class indices of shape (movies,)."""
    cells = np.bincount(labels * len(CLASSES) + predicted, minlength=len(CLASSES) ** 2)
    return cells.reshape(len(CLASSES), len(CLASSES))


def class_figures(confusion: Confusion) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 of each class, each of shape (classes,); 0 where the denominator is 0."""
    counts = np.asarray(confusion, dtype=np.float64)
    true, predicted, hits = counts.sum(axis=1), counts.sum(axis=0), np.diag(counts)
    return _ratio(hits, predicted), _ratio(hits, true), _ratio(2 * hits, true + predicted)


def scores(confusion: Confusion) -> dict[str, float]:
    """Accuracy, balanced accuracy and macro-F1; classes without a true movie are left out of the two means."""
    _, recall, f1 = class_figures(confusion)
    present = confusion.sum(axis=1) > 0
    return {
        "accuracy": float(np.trace(confusion) / confusion.sum()),
        "balanced_accuracy": float(recall[present].mean()),
        "macro_f1": float(f1[present].mean()),
    }


def _ratio(part: Floats, whole: Floats) -> Floats:
    ratio: Floats = np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
    return ratio
