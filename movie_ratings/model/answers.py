"""Predictions beside the true labels: what every figure of merit is computed from."""

from dataclasses import dataclass

from movie_ratings.core.arrays import Floats, Ints


@dataclass(frozen=True)
class Answers:
    """Predictions for a set of movies.

    ``labels`` (the true classes) and ``predicted`` are class indices of shape (movies,); ``probabilities`` has shape
    (movies, classes).
    """

    labels: Ints
    predicted: Ints
    probabilities: Floats
