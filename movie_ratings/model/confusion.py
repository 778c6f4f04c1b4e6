"""Scores of a confusion matrix. Training chooses by these scores, and evaluation reports the same ones."""

import numpy as np

from movie_ratings.core.arrays import Floats, Ints
from movie_ratings.movies.labels import CLASSES


def confusion_matrix(labels: Ints, predicted: Ints) -> Ints:
    """Counts by true class (rows) and predicted class (columns) of class indices, both of shape (movies,)."""
    counts = np.bincount(labels * len(CLASSES) + predicted, minlength=len(CLASSES) ** 2)
    return counts.reshape(len(CLASSES), len(CLASSES))


def scores(confusion: Ints | Floats) -> dict[str, float]:
    """Accuracy, balanced accuracy and macro-F1 of a confusion matrix (true classes, predicted classes).

    The entries are counts, or expected counts when each movie counts for every class with its probability. Both means
    leave out the classes of which no movie is: a bootstrap resample may lack a class.
    """
    true, predicted, hits = confusion.sum(axis=1), confusion.sum(axis=0), np.diag(confusion)
    present = true > 0
    return {
        "accuracy": float(hits.sum() / confusion.sum()),
        "balanced_accuracy": float((hits[present] / true[present]).mean()),
        "macro_f1": float((2 * hits[present] / (true + predicted)[present]).mean()),
    }
