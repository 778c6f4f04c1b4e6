"""The linear part of a model: what each word and each fact is worth in rating points, added up.

A few thousand movies teach a transformer what a plot tells, but not what every year, runtime, director and actor is
worth; a linear model with one weight for each learns that in a second. Both answer together, after Cheng et al., "Wide
& Deep Learning for Recommender Systems", DLRS 2016. This module serves, in plain Python; `training.ridge` fits.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from movie_ratings.core import storage
from movie_ratings.core.arrays import Floats
from movie_ratings.core.errors import UserError
from movie_ratings.model.decision import facts_known
from movie_ratings.movies.labels import CLASSES, Thresholds
from movie_ratings.movies.text import compose, has, names, number

FILE: Final = "linear.json"

# A film of 1994 is later than each of these years up to 1992: neighbouring years share most of their weights.
STEPS: Final = {
    "year": (*range(1930, 1980, 10), *range(1980, 2100, 4)),
    "runtime": (60, 70, 80, *range(85, 125, 5), 130, 140, 160, 180),
}
# An old or a long film means another thing in each genre.
GENRE_STEPS: Final = {"year": (1980, 1990, 2000, 2010), "runtime": (90, 100, 110, 125)}
WORD: Final = re.compile(r"\w\w+")


@dataclass(frozen=True)
class LinearModel:
    """Weights of a fitted linear model, in rating points.

    ``facts`` has a weight for each fact that `facts` names, ``words`` for each word or pair of neighbouring words its
    inverse document frequency and the weight of its TF-IDF value. ``spread`` is the scale of the logistic distribution
    around the predicted rating.
    """

    fields: tuple[str, ...]
    thresholds: Thresholds
    intercept: float
    spread: float
    facts: dict[str, float]
    words: dict[str, tuple[float, float]]

    def ratings(self, movies: Sequence[Mapping[str, Any]]) -> Floats:
        """The predicted rating of each movie, shape (movies,)."""
        return np.array([self._rating(movie) for movie in movies], dtype=np.float64)

    def logits(self, movies: Sequence[Mapping[str, Any]]) -> Floats:
        """Log-probabilities of the classes, shape (movies, classes), before calibration."""
        return class_logits(self.ratings(movies), self.thresholds, self.spread)

    def _rating(self, movie: Mapping[str, Any]) -> float:
        rating = self.intercept + sum(self.facts.get(fact, 0.0) for fact in facts(movie, self.fields))
        counts = Counter(word for word in words(movie, self.fields) if word in self.words)
        values = {word: (1 + math.log(count)) * self.words[word][0] for word, count in counts.items()}
        length = math.sqrt(sum(value * value for value in values.values())) or 1.0
        return rating + sum(value / length * self.words[word][1] for word, value in values.items())


@dataclass(frozen=True)
class LinearPart:
    """Two linear models: one for movies whose facts are known, and one that reads title, genres and summary alone.

    Words say more where nothing else is known: a single set of weights for both would suit neither.
    """

    facts: LinearModel
    plot: LinearModel

    def logits(self, movies: Sequence[Mapping[str, Any]]) -> Floats:
        """Log-probabilities of the classes, shape (movies, classes), before calibration."""
        logits = np.zeros((len(movies), len(CLASSES)))
        known = facts_known(movies, self.facts.fields)
        for rows, model in ((np.flatnonzero(known), self.facts), (np.flatnonzero(~known), self.plot)):
            if len(rows):
                logits[rows] = model.logits([movies[int(row)] for row in rows])
        return logits


def logistic_scale(variance: float) -> float:
    """The scale of the logistic distribution of this variance, which is its square times pi squared over 3."""
    return float(np.sqrt(3 * variance) / np.pi)


def class_logits(ratings: Floats, thresholds: Thresholds, spread: float) -> Floats:
    """Log-probabilities (rows, classes) that a rating predicted as ``ratings`` (rows,) turns out in each class.

    The rating is taken to be logistically distributed around its prediction with scale ``spread``: the cumulative link
    model of McCullagh, "Regression Models for Ordinal Data", JRSS B 1980.
    """
    below = 1 / (1 + np.exp(-(thresholds.low - ratings) / spread))
    above = 1 / (1 + np.exp(-(ratings - thresholds.high) / spread))
    logits: Floats = np.log(np.maximum(np.stack([below, 1 - below - above, above], axis=1), 1e-9))
    return logits


def facts(movie: Mapping[str, Any], fields: Sequence[str]) -> Iterator[str]:
    """The names of what is true of a movie: "genres=Drama", "year>1992", "directors=…", "known=runtime"."""
    genres = names(movie, "genres") if "genres" in fields else []
    for field in fields:
        if field in ("title", "summary") or not has(movie, field):
            continue
        yield f"known={field}"
        if field in STEPS:
            value = number(movie, field) or 0
            yield from (f"{field}>{step}" for step in STEPS[field] if value > step)
            yield from (f"{genre} {field}>{step}" for genre in genres for step in GENRE_STEPS[field] if value > step)
            continue
        found = names(movie, field)
        yield from (f"{field}={name}" for name in found)
        if field == "genres":
            pairs = sorted(found)
            yield from (f"{one} & {other}" for place, one in enumerate(pairs) for other in pairs[place + 1 :])
        if field == "spoken_languages":
            yield f"{field} {len(found)}"
            yield f"first {field}={found[0]}"


def words(movie: Mapping[str, Any], fields: Sequence[str]) -> list[str]:
    """The words of title and summary, and their pairs of neighbours."""
    found = WORD.findall(compose(movie, [field for field in fields if field in ("title", "summary")]).lower())
    return [*found, *(f"{one} {other}" for one, other in pairwise(found))]


def write(folder: Path, part: LinearPart) -> None:
    """Put the linear part into a checkpoint folder."""
    # On one line: with a line for each of its numbers it would be three times as long.
    (folder / FILE).write_text(json.dumps(asdict(part), ensure_ascii=False) + "\n", encoding="utf-8")


def read(folder: str | Path) -> LinearPart:
    """Read the linear part of a checkpoint folder.

    Raises:
        UserError: the file is missing or broken.
    """
    path = Path(folder, FILE)
    found = storage.read_json(path)
    try:
        return LinearPart(_model(found["facts"]), _model(found["plot"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: not a linear part ({error})") from None


def _model(found: dict[str, Any]) -> LinearModel:
    return LinearModel(
        fields=tuple(found["fields"]),
        thresholds=Thresholds(**found["thresholds"]),
        intercept=float(found["intercept"]),
        spread=float(found["spread"]),
        facts={str(name): float(weight) for name, weight in found["facts"].items()},
        words={str(word): (float(idf), float(weight)) for word, (idf, weight) in found["words"].items()},
    )
