"""Predictions of labelled movies, beside their labels and ratings: what metrics are computed from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from movie_ratings.core.arrays import Floats, Ints


@dataclass(frozen=True)
class Ratings:
    """True and predicted ratings of the same movies, both (movies,), 0 to 10.

    ``intervals`` (movies, 2) has the ends of the 80% interval around each predicted rating.
    """

    true: Floats
    predicted: Floats
    intervals: Floats

    @property
    def errors(self) -> Floats:
        """The distance between predicted and true rating (movies,)."""
        return np.abs(self.predicted - self.true)

    @property
    def covered(self) -> Floats:
        """1 for each movie whose true rating lies in its interval, else 0 (movies,)."""
        low, high = self.intervals.T
        return ((self.true >= low) & (self.true <= high)).astype(np.float64)

    def take(self, rows: Ints) -> "Ratings":
        """The movies with these row numbers."""
        return Ratings(self.true[rows], self.predicted[rows], self.intervals[rows])


@dataclass(frozen=True)
class Answers:
    """True classes, predicted classes and calibrated probabilities of the same movies, in the same order.

    ``labels`` and ``predicted`` (movies,) hold indices into `movie_ratings.movies.labels.CLASSES`; ``probabilities``
    has the shape (movies, classes). The predicted class comes from the decision rule and need not be the one with the
    largest probability. ``ratings`` is None where only classes are compared.
    """

    labels: Ints
    predicted: Ints
    probabilities: Floats
    ratings: Ratings | None = None

    def take(self, rows: Ints) -> "Answers":
        """The movies with these row numbers."""
        ratings = None if self.ratings is None else self.ratings.take(rows)
        return Answers(self.labels[rows], self.predicted[rows], self.probabilities[rows], ratings)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> "Answers":
        """The movies of all parts, one part after another; they have ratings if all parts have."""
        known = [part.ratings for part in parts if part.ratings is not None]
        columns = [[r.true for r in known], [r.predicted for r in known], [r.intervals for r in known]]
        return Answers(
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.predicted for part in parts]),
            np.concatenate([part.probabilities for part in parts]),
            Ratings(*map(np.concatenate, columns)) if len(known) == len(parts) else None,
        )
