"""The audit: whether a fact predicts a movie's rating by what it says, or by how much was written about the movie.

People write more about a movie that became famous: a long list of names tells that a movie is liked, and a prediction
before its release must not know that. The audit fits the linear part again and again, out of fold, each time with one
fact changed:

- left_out: the fact is not read.
- count: its names are anonymous; what is left is how many there are, and whether any, as far as the encoding shows it.
- shuffled: its contents are dealt out among the movies at random, as many to each movie as it had.
- number_in_record: instead of its contents, the uncut number of names is read. No model reads it: it shows how much the
  table tells and the encoding must hide.

A fact is flagged if count or shuffled predicts better than left_out, since neither knows what the fact says.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import pyarrow as pa
from scipy import sparse
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from movie_ratings.core.arrays import Floats, Ints
from movie_ratings.core.errors import UserError
from movie_ratings.evaluation.audit_parts import (
    BLOCK,
    RECORDS,
    Encoder,
    Parts,
    RecordEncoder,
    anonymous,
    anonymous_people,
    contents_of,
    number_in_record,
    seed_of,
    shuffled,
    shuffled_people,
)
from movie_ratings.model.linear import logistic_scale, rating_logits
from movie_ratings.movies.film import position, split_key
from movie_ratings.movies.labels import Thresholds, class_indices
from movie_ratings.movies.text import LATE, NAMES
from movie_ratings.params import Linear
from movie_ratings.training.ridge import Reads

FOLDS: Final = 5
SALT: Final = "audit"  # of the hash that decides the fold of a film
LEVEL: Final = 0.05  # the probability that an audit without a leak flags any fact
LEAST: Final = 1e-4  # R²; a smaller gain may come from where the solver stops
WITHOUT_CONTENT: Final = ("count", "shuffled")
REASONS: Final = {
    "count": "the number of its names, or whether it is known, predicts ratings",
    "shuffled": "it predicts ratings even when it is shuffled among the movies",
}


@dataclass(frozen=True)
class AuditData:
    """What is audited: movies of `movies.record.LABELLED`, and their weights in the fits, (movies,).

    ``outside`` holds rated films of other tables, for the track records (`movies.record.OUTSIDE`). ``thresholds`` lie
    between the classes.
    """

    movies: pa.Table
    weights: Floats
    outside: pa.Table
    thresholds: Thresholds


@dataclass(frozen=True)
class Line:
    """The predictions of one variant out of fold: the squared error of each rating (movies,), and the mean log-loss."""

    errors: Floats
    log_loss: float


def audit(data: AuditData, reads: Reads, options: Linear, seed: int) -> dict[str, Any]:
    """Audit each fact that a linear model of ``reads`` reads; ``seed`` is that of the shuffles.

    In the result, R² and its differences are those of the rating, and intervals are at 95%. The ``worth`` of a fact is
    the R² of the whole model minus that of the model without the fact, ``gain`` is the R² of a line minus that of
    left_out. ``flagged`` lists the facts that predict without what they say; ``warnings`` says why, a line for each.

    Raises:
        UserError: all movies are in one fold.
    """
    found = _Audit(data, reads, options, seed)
    # Each number of threads rounds a shared sum differently: one thread a fit, and several fits at a time.
    with threadpool_limits(1, "blas"):
        whole = found.line(found.whole)
        facts = {fact: found.lines(fact) for fact in found.facts}
    spread = float(data.movies["rating"].to_numpy().var()) or 1.0
    # One-sided, and corrected for the number of tests (Bonferroni).
    critical = NormalDist().inv_cdf(1 - LEVEL / max(1, len(WITHOUT_CONTENT) * len(facts)))
    described = {fact: _described(whole, lines, spread, critical) for fact, lines in facts.items()}
    late = [field for field in (*reads.fields, *reads.names) if field in LATE]
    return {
        "movies": data.movies.num_rows,
        "folds": FOLDS,
        "alpha": found.alpha,
        "whole": _scores(whole, spread),
        "facts": described,
        "flagged": [fact for fact, each in described.items() if each["flagged"]],
        "late": late,
        "warnings": [*_reasons(described), *(f"{field} is written partly after a movie's release" for field in late)],
    }


def folds_of(movies: Sequence[dict[str, Any]]) -> Ints:
    """The fold of each movie (movies,), by a hash of its film; the films of a collection are in one fold."""
    keys = [split_key(movie["title"], movie["year"], movie["collection"]) for movie in movies]
    return np.array([int(position(key, SALT) * FOLDS) for key in keys], dtype=np.int64)


class _Audit:
    """The movies with everything that is computed once, and the fits of their variants."""

    def __init__(self, data: AuditData, reads: Reads, options: Linear, seed: int):
        self._data, self._seed = data, seed
        self._ratings = data.movies["rating"].to_numpy()
        self._labels = class_indices(self._ratings, data.thresholds)
        columns = dict.fromkeys(["title", "year", "collection", *reads.fields, *reads.names])
        self._movies = data.movies.select(list(columns)).to_pylist()
        self._folds = folds_of(self._movies)
        if len(np.unique(self._folds)) < 2:
            raise UserError(f"audit: {len(self._movies)} movies are too few to predict any from the others")
        self.alpha = sorted(options.alphas)[len(options.alphas) // 2]
        self._encoder = Encoder(self._movies, reads, options.min_movies)
        self.whole = self._encoder.whole()
        self.facts = [*self.whole.indicators, *self.whole.names]
        if len(self.whole.names) > 1:
            self.facts.append(BLOCK)
        if options.records:
            self.facts.append(RECORDS)
            self._of_records = self._record_variants(
                RecordEncoder(data.movies, self._ratings, data.outside, options.max_films)
            )
            self.whole = replace(self.whole, records=self._of_records["whole"])

    def lines(self, fact: str) -> dict[str, Line]:
        """The variants of a fact."""
        special = {RECORDS: self._variants_of_records, BLOCK: self._variants_of_block}
        parts = special[fact]() if fact in special else self._variants(fact)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return dict(zip(parts, pool.map(self.line, parts.values()), strict=True))

    def line(self, parts: Parts) -> Line:
        """The predictions of a model that reads ``parts``, each movie's from the other folds."""
        table, predicted = parts.table(), np.zeros(len(self._ratings))
        for fold in np.unique(self._folds):
            columns = sparse.hstack([table, *parts.of_fold(fold)]).tocsr()
            train, held = np.flatnonzero(self._folds != fold), np.flatnonzero(self._folds == fold)
            ratings, weights = self._ratings[train], self._data.weights[train]
            if columns.shape[1]:
                ridge = Ridge(alpha=self.alpha).fit(columns[train], ratings, sample_weight=weights)
                predicted[held] = ridge.predict(columns[held])
            else:
                predicted[held] = np.average(ratings, weights=weights)
        errors: Floats = (predicted - self._ratings) ** 2
        scale = logistic_scale(float(errors.mean())) or 1.0
        logits = rating_logits(predicted, self._data.thresholds, scale)
        return Line(errors, float(-logits[np.arange(len(logits)), self._labels].mean()))

    def _variants(self, field: str) -> dict[str, Parts]:
        encoder, contents = self._encoder, contents_of(self._movies, field)
        left_out = encoder.without(self.whole, field)
        dealt = shuffled(contents, np.random.default_rng([self._seed, seed_of(field)]))
        found = {
            "left_out": left_out,
            "count": encoder.with_contents(self.whole, field, anonymous(field, contents)),
            "shuffled": encoder.with_contents(self.whole, field, dealt),
        }
        if field in NAMES:
            found["number_in_record"] = replace(left_out, more=[number_in_record(self._movies, field)])
        return found

    def _variants_of_block(self) -> dict[str, Parts]:
        """All names at once: what each field of the block tells alone may be too little to be seen."""
        found = {"left_out": replace(self.whole, names={}), "count": self.whole, "shuffled": self.whole}
        for field in self.whole.names:
            contents = contents_of(self._movies, field)
            dealt = shuffled(contents, np.random.default_rng([self._seed, seed_of(field)]))
            found["count"] = self._encoder.with_contents(found["count"], field, anonymous(field, contents))
            found["shuffled"] = self._encoder.with_contents(found["shuffled"], field, dealt)
        return found

    def _variants_of_records(self) -> dict[str, Parts]:
        found = {name: replace(self.whole, records=self._of_records[name]) for name in WITHOUT_CONTENT}
        return {"left_out": replace(self.whole, records=()), **found}

    def _record_variants(self, encoder: RecordEncoder) -> dict[str, list[Floats]]:
        """For each variant of the track records, their features as each fold knows them."""
        people = encoder.people
        asked = {
            "whole": people,
            "count": anonymous_people(people),
            "shuffled": shuffled_people(people, np.random.default_rng([self._seed, seed_of(RECORDS)])),
        }
        by_fold = [encoder.features(self._folds != fold, [*asked.values()]) for fold in range(FOLDS)]
        return {name: list(features) for name, features in zip(asked, zip(*by_fold, strict=True), strict=True)}


def _scores(line: Line, spread: float) -> dict[str, float]:
    return {"r2": 1 - float(line.errors.mean()) / spread, "log_loss": line.log_loss}


def _gain(line: Line, other: Line, spread: float) -> tuple[float, float]:
    """The R² of ``line`` minus that of ``other``, and its standard error over movies."""
    each = (other.errors - line.errors) / spread
    return float(each.mean()), float(each.std() / np.sqrt(len(each)))


def _interval(gain: float, error: float) -> list[float]:
    width = NormalDist().inv_cdf(0.975) * error
    return [gain - width, gain + width]


def _described(whole: Line, lines: dict[str, Line], spread: float, critical: float) -> dict[str, Any]:
    left_out = lines["left_out"]
    worth, error = _gain(whole, left_out, spread)
    found: dict[str, Any] = {"worth": worth, "interval_95": _interval(worth, error)}
    found["left_out"] = _scores(left_out, spread)
    flagged = []
    for name, line in lines.items():
        if name == "left_out":
            continue
        gain, error = _gain(line, left_out, spread)
        found[name] = _scores(line, spread) | {"gain": gain, "interval_95": _interval(gain, error)}
        if name in WITHOUT_CONTENT and gain > max(critical * error, LEAST):
            flagged.append(name)
    return found | {"flagged": flagged}


def _reasons(facts: dict[str, Any]) -> list[str]:
    return [
        f"{fact}: {REASONS[name]} (R² {found[name]['gain']:+.4f}, 95% interval {found[name]['interval_95'][0]:+.4f} to "
        f"{found[name]['interval_95'][1]:+.4f}): it may tell how famous a movie became"
        for fact, found in facts.items()
        for name in found["flagged"]
    ]
