"""metrics/predictions.csv of two models, read, checked and reduced to the movies that both predicted."""

import csv
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

import numpy as np

from movie_ratings.core.checks import shortened
from movie_ratings.core.errors import UserError, first_line
from movie_ratings.evaluation.slices import FEWEST
from movie_ratings.model.answers import Answers, Ratings
from movie_ratings.movies.labels import CLASSES, label_indices

PROBABILITIES: Final = tuple(f"probability_{name}" for name in CLASSES)
NEEDED: Final = ("id", "actual", "predicted", *PROBABILITIES)
RATED: Final = ("rating", "predicted_rating", "predicted_rating_low", "predicted_rating_high")  # older files lack these
# Ratings move a little when movies are collected again, and thresholds with them. With a larger share of other labels,
# the two models were trained to predict different things.
OTHER_LABELS: Final = 0.05
# The file has four decimals. A probability that was rounded to 0 would otherwise cost as much log-loss as no real
# prediction does.
LEAST: Final = 0.00005


@dataclass(frozen=True)
class Predictions:
    """The rows of one predictions.csv: ``ids`` (movies,), and what was predicted of these movies."""

    ids: Sequence[int]
    answers: Answers


@dataclass(frozen=True)
class Pair:
    """What two models predicted of the same movies, in the same order, with the labels and ratings of ``new``.

    ``other_labels`` is the number of movies to which the file of ``old`` gives another label.
    """

    ids: Sequence[int]
    new: Answers
    old: Answers
    other_labels: int

    def take(self, rows: Sequence[int]) -> tuple[Answers, Answers]:
        """``new`` and ``old`` for the movies with these row numbers."""
        numbers = np.array(rows, dtype=np.int64)
        return self.new.take(numbers), self.old.take(numbers)


def parse(text: str, name: str) -> Predictions:
    """The predictions in ``text``, the content of a CSV file that messages call ``name``.

    Movies that share an id are left out: nothing else in the file tells them apart.

    Raises:
        UserError: a column is missing, or a value is none that the evaluate stage writes; the message has the line.
    """
    lines = csv.DictReader(io.StringIO(text, newline=""))
    try:
        columns = lines.fieldnames or ()
        if missing := [column for column in NEEDED if column not in columns]:
            raise UserError(f"{name}: column {missing[0]!r} is missing; the evaluate stage writes {', '.join(NEEDED)}")
        numbers = (*PROBABILITIES, *RATED) if set(RATED) <= set(columns) else PROBABILITIES
        rows = [_Row(f"{name} line {lines.line_num}", row) for row in lines]
    except csv.Error as error:
        raise UserError(f"{name} line {lines.line_num}: not CSV ({first_line(error)})") from None
    ids = [row.whole("id") for row in rows]
    seen = Counter(ids)
    kept = [row for row, number in zip(rows, ids, strict=True) if seen[number] == 1]
    values = np.array([[row.number(column) for column in numbers] for row in kept]).reshape(len(kept), len(numbers))
    for row, found in zip(kept, values[:, : len(CLASSES)], strict=True):
        if (found < 0).any() or abs(found.sum() - 1) > 0.01:
            row.refuse("probabilities that do not sum to 1")
    probabilities = np.maximum(values[:, : len(CLASSES)], LEAST)
    rated = values[:, len(CLASSES) :].T
    answers = Answers(
        label_indices(row.label("actual") for row in kept),
        label_indices(row.label("predicted") for row in kept),
        probabilities / probabilities.sum(axis=1, keepdims=True),
        Ratings(rated[0], rated[1], rated[2:].T) if len(rated) else None,
    )
    return Predictions([number for number in ids if seen[number] == 1], answers)


def called(found: Predictions) -> dict[str, int]:
    """How many movies were predicted to be of each class."""
    counts = np.bincount(found.answers.predicted, minlength=len(CLASSES)).tolist()
    return dict(zip(CLASSES, counts, strict=True))


def pair(new: Predictions, old: Predictions, names: tuple[str, str]) -> Pair:
    """The movies that both files have. The labels, and the ratings, are those of ``new``.

    ``names`` stand for ``new`` and ``old`` in messages.

    Raises:
        UserError: fewer than 30 movies are in both files, or more than 5% of these have different labels.
    """
    places = {number: row for row, number in enumerate(old.ids)}
    rows = [(row, places[number]) for row, number in enumerate(new.ids) if number in places]
    if len(rows) < FEWEST:
        raise UserError(
            f"{names[0]} and {names[1]} have {len(rows)} movies in common, and a comparison needs {FEWEST}; "
            "they are of different sources or splits"
        )
    numbers = np.array(rows)
    ours, theirs = new.answers.take(numbers[:, 0]), old.answers.take(numbers[:, 1])
    others = int(np.sum(ours.labels != theirs.labels))
    if others > OTHER_LABELS * len(rows):
        raise UserError(
            f"{names[0]} and {names[1]} give {others:,} of {len(rows):,} movies different true labels; "
            "the class thresholds or the source have changed, so that the scores cannot be compared"
        )
    ratings = None
    if ours.ratings is not None and theirs.ratings is not None:
        ratings = Ratings(ours.ratings.true, theirs.ratings.predicted, theirs.ratings.intervals)
    else:
        ours = Answers(ours.labels, ours.predicted, ours.probabilities)
    theirs = Answers(ours.labels, theirs.predicted, theirs.probabilities, ratings)
    return Pair([new.ids[row] for row, _ in rows], ours, theirs, others)


class _Row:
    """A row of the file and its place in messages."""

    def __init__(self, place: str, values: Mapping[str | None, str | None]):
        self._place, self._values = place, values

    def refuse(self, what: str) -> NoReturn:
        raise UserError(f"{self._place}: {what}")

    def number(self, column: str) -> float:
        text = self._values.get(column) or ""
        try:
            found = float(text)
        except ValueError:
            found = math.nan
        if not math.isfinite(found):
            self.refuse(f"{column} must be a number, found {shortened(text)}")
        return found

    def whole(self, column: str) -> int:
        text = self._values.get(column) or ""
        try:
            return int(text)
        except ValueError:
            self.refuse(f"{column} must be a whole number, found {shortened(text)}")

    def label(self, column: str) -> str:
        text = self._values.get(column) or ""
        if text not in CLASSES:
            self.refuse(f"{column} must be one of {', '.join(CLASSES)}, found {shortened(text)}")
        return text
