"""Predictions of labelled movies, beside their labels: what metrics are computed from."""

from dataclasses import dataclass

from movie_ratings.core.arrays import Floats, Ints


@dataclass(frozen=True)
class Answers:
    """True classes, predicted classes and calibrated probabilities of the same movies, in the same order.

    ``labels`` and ``predicted`` (movies,) hold indices into `movie_ratings.movies.labels.CLASSES`; ``probabilities``
    has the shape (movies, classes). The predicted class comes from the decision rule and need not be the one with the
    largest probability.
    """

    labels: Ints
    predicted: Ints
    probabilities: Floats
