"""Folds of films: who is trained on, who chooses, and who is answered."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from movie_ratings.core.arrays import Floats, Ints
from movie_ratings.movies.film import group_key, position, split_key
from movie_ratings.movies.labels import Thresholds, class_indices, fit_thresholds
from movie_ratings.movies.record import MOVIE
from movie_ratings.movies.splits import label
from movie_ratings.params import Params

FOLDS = 5
VALIDATION = 0.15  # of the rows outside the fold
YEARS = 9  # the newest years of a source, which are predicted from the years before them
PERIODS = 3


@dataclass(frozen=True)
class Fold:
    """Row numbers of three splits, the thresholds of the first, and the class indices (rows,) that these make."""

    train: Ints
    validation: Ints
    test: Ints
    thresholds: Thresholds
    labels: Ints
    until: int | None = None  # the last year of which anything is known; None: all years

    def table(self, movies: list[dict[str, Any]], rows: Ints) -> pa.Table:
        """These movies as the stages read them."""
        chosen = pa.RecordBatch.from_pylist([movies[row] for row in rows], MOVIE)
        return pa.Table.from_batches([label(chosen, self.thresholds)])


def by_film(movies: list[dict[str, Any]], options: Params) -> list[Fold]:
    """Five folds by the hash of the film, or of the collection that it belongs to."""
    folds = np.array([int(place * FOLDS) for place in _places(movies, "fold")])
    held = _places(movies, "fold-validation") < VALIDATION
    return [_fold(movies, (folds != n) & ~held, (folds != n) & held, folds == n, options) for n in range(FOLDS)]


def by_time(movies: list[dict[str, Any]], options: Params) -> list[Fold]:
    """Folds as the model is used: it is made of the movies up to a year and predicts those of the following years.

    The last `YEARS` years are divided into `PERIODS` periods. The movies of a period are the test split of a fold. The
    movies before it are divided into training and validation by the hash of the film, as `split.by: film` does.
    """
    held = _places(movies, "fold-validation") < VALIDATION
    years = np.array([movie["year"] or 0 for movie in movies])
    ends = years.max() - np.arange(PERIODS, -1, -1) * (YEARS // PERIODS)
    folds = []
    for until, end in pairwise(ends.tolist()):
        known = years <= until
        found = _fold(movies, known & ~held, known & held, (years > until) & (years <= end), options)
        folds.append(replace(found, until=until))
    return folds


def smaller(fold: Fold, movies: list[dict[str, Any]], share: float) -> Fold:
    """The fold with only so large a share of its training movies, the thresholds as they are."""
    keys = [group_key(movies[i]["title"], movies[i]["year"]) for i in fold.train]
    kept = fold.train[[position(key, "size") < share for key in keys]]
    return Fold(kept, fold.validation, fold.test, fold.thresholds, fold.labels)


def _places(movies: list[dict[str, Any]], salt: str) -> Floats:
    """The place in [0, 1) of each movie (movies,), by a hash of its film or collection."""
    keys = [split_key(movie["title"], movie["year"], movie.get("collection")) for movie in movies]
    return np.array([position(key, salt) for key in keys])


def _fold(movies: list[dict[str, Any]], train: Any, held: Any, test: Any, options: Params) -> Fold:
    ratings: Floats = np.array([movie["vote_average"] for movie in movies])
    thresholds = fit_thresholds(ratings[train], options.labels)
    known, chosen, asked = (np.flatnonzero(part) for part in (train, held, test))
    return Fold(known, chosen, asked, thresholds, class_indices(ratings, thresholds))
