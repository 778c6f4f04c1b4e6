"""Predictions of labelled movies, beside their labels: what metrics are computed from."""

from dataclasses import dataclass

from movie_ratings.core.arrays import Bools, Floats, Ints


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

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Ints | Bools) -> "Answers":
        """The answers of some movies: of the row numbers, or where a mask (movies,) is true."""
        return Answers(self.labels[rows], self.predicted[rows], self.probabilities[rows])
