"""Folds of films: who is trained on, who chooses, and who is answered."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from movie_ratings.core.arrays import Floats, Ints
from movie_ratings.movies.film import group_key, position, split_key
from movie_ratings.movies.labels import Thresholds, class_indices, fit_thresholds
from movie_ratings.movies.record import MOVIE
from movie_ratings.movies.splits import by_year, label, sides_of
from movie_ratings.params import Params

FOLDS = 5
VALIDATION = 0.15  # of the rows outside the fold


@dataclass(frozen=True)
class Fold:
    """Row numbers of three splits, the thresholds of the first, and the class indices (rows,) that these make."""

    train: Ints
    validation: Ints
    test: Ints
    thresholds: Thresholds
    labels: Ints

    def table(self, movies: list[dict[str, Any]], rows: Ints) -> pa.Table:
        """These movies as the stages read them."""
        chosen = pa.RecordBatch.from_pylist([movies[row] for row in rows], MOVIE)
        return pa.Table.from_batches([label(chosen, self.thresholds)])


def by_film(movies: list[dict[str, Any]], options: Params) -> list[Fold]:
    """Five folds by the hash of the film, or of the collection that it belongs to."""
    keys = [split_key(movie["title"], movie["year"], movie.get("collection")) for movie in movies]
    folds = np.array([int(position(key, "fold") * FOLDS) for key in keys])
    held = np.array([position(key, "fold-validation") < VALIDATION for key in keys])
    return [_fold(movies, (folds != n) & ~held, (folds != n) & held, folds == n, options) for n in range(FOLDS)]


def by_time(movies: list[dict[str, Any]], options: Params) -> Fold:
    """The one fold of `split.by: time`: the newest movies to answer, older ones to choose on and to train on."""
    places = by_year(np.array([movie["year"] or 0 for movie in movies]))
    sides = sides_of(places, options.split.fractions.model_dump())
    return _fold(movies, sides == "train", sides == "validation", sides == "test", options)


def smaller(fold: Fold, movies: list[dict[str, Any]], share: float) -> Fold:
    """The fold with only so large a share of its training movies, the thresholds as they are."""
    keys = [group_key(movies[i]["title"], movies[i]["year"]) for i in fold.train]
    kept = fold.train[[position(key, "size") < share for key in keys]]
    return Fold(kept, fold.validation, fold.test, fold.thresholds, fold.labels)


def _fold(movies: list[dict[str, Any]], train: Any, held: Any, test: Any, options: Params) -> Fold:
    ratings: Floats = np.array([movie["vote_average"] for movie in movies])
    thresholds = fit_thresholds(ratings[train], options.labels)
    known, chosen, asked = (np.flatnonzero(part) for part in (train, held, test))
    return Fold(known, chosen, asked, thresholds, class_indices(ratings, thresholds))
