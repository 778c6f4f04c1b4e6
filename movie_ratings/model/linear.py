"""The linear part of a model: it predicts a rating as a sum of weights, one for each word and indicator of a movie.

A few thousand movies are enough for a transformer to learn from plots, but not to learn the effect of every year,
runtime, director and actor. A linear model with a weight for each of them learns these effects in a second. The
predictions of both are combined, after Cheng et al., "Wide & Deep Learning for Recommender Systems", DLRS 2016. This
module predicts, in plain Python and numpy; `training.ridge` fits the weights.
"""

import dataclasses
import json
import math
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, combinations, pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from movie_ratings.core import checks, storage
from movie_ratings.core.arrays import Floats
from movie_ratings.core.errors import UserError
from movie_ratings.model import track_records
from movie_ratings.model.decision import facts_known
from movie_ratings.model.track_records import FEATURES, TrackRecords, years_of
from movie_ratings.movies.labels import CLASSES, Thresholds
from movie_ratings.movies.roles import ROLES
from movie_ratings.movies.text import FIELDS, NAMES, TEXTS, compose, has, names, normalise, number

FILE: Final = "linear.json"

# A number has an indicator for each step below it: the year 1994 has those of 1930 to 1992. Neighbouring years share
# most of their indicators, so that their predicted ratings are close.
STEPS: Final = {
    "year": (*range(1930, 1980, 10), *range(1980, 2100, 4)),
    "runtime": (60, 70, 80, *range(85, 125, 5), 130, 140, 160, 180),
    "budget": (1_000_000, 5_000_000, 10_000_000, 20_000_000, 40_000_000, 80_000_000, 150_000_000),
}
# Age and length have another effect in each genre: these steps have an indicator for each genre too.
GENRE_STEPS: Final = {"year": (1980, 1990, 2000, 2010), "runtime": (90, 100, 110, 125)}
WORD: Final = re.compile(r"\w\w+")
# Of a number in words.
UNITS: Final = {"year": "", "runtime": " minutes", "budget": " dollars"}
WORDS: Final = "words"  # the field of the contributions of title and summary, which the words have in common
KNOWN: Final = "known"  # the text of the contribution that a fact makes by being known
EARLIER: Final = "earlier films of the {}"


class Indicator(NamedTuple):
    """An indicator that is 1 for a movie: its ``name`` in the model, and the fact in words, as a field and a text."""

    name: str
    field: str
    text: str


class Contribution(NamedTuple):
    """What one fact, word or track record adds to the linear part's rating, in rating points.

    ``field`` is a field of a movie, "words" for title and summary, or "earlier films of the directors" and the like,
    whose ``text`` is empty.
    """

    field: str
    text: str
    points: float

    @property
    def name(self) -> str:
        """The contribution in words: "genres: Drama"."""
        return f"{self.field}: {self.text}" if self.text else self.field


class Contributions(NamedTuple):
    """The linear part's rating of one movie as a sum: the ``intercept``, and each contribution in rating points."""

    intercept: float
    each: list[Contribution]

    @property
    def rating(self) -> float:
        """The linear part's rating, which calibration then combines with the transformer."""
        return self.intercept + math.fsum(found.points for found in self.each)

    def strongest(self, count: int) -> tuple[list[Contribution], float]:
        """The ``count`` contributions that are farthest from 0, the farthest first, and the sum of all others."""
        ordered = sorted(self.each, key=lambda found: -abs(found.points))
        return ordered[:count], math.fsum(found.points for found in ordered[count:])


@dataclass(frozen=True)
class LinearModel:
    """A fitted linear model; weights, intercept and scale are in rating points.

    ``indicators`` holds the weight of each indicator, by the name that `indicators` gives it. ``words`` holds, for each
    word or pair of neighbouring words, its inverse document frequency and the weight of its TF-IDF value. ``credits``
    holds the weight of each name that `credited` gives; the mean weight of a movie's names counts, so that their number
    has no effect. ``records`` holds the weights of `track_records.FEATURES`, or none. ``scale`` is that of the logistic
    distribution of the true rating around the predicted one.
    """

    fields: tuple[str, ...]  # whose words and indicators are read
    thresholds: Thresholds
    intercept: float
    scale: float
    indicators: dict[str, float]
    words: dict[str, tuple[float, float]]
    names: tuple[str, ...] = ()  # the fields of the block
    credits: dict[str, float] = dataclasses.field(default_factory=dict)
    records: tuple[float, ...] = ()

    def ratings(self, movies: Sequence[Mapping[str, Any]], records: TrackRecords | None = None) -> Floats:
        """The predicted rating of each movie, 0 to 10, shape (movies,).

        ``records`` are the track records of people, which a model with weights for them needs.
        """
        found = np.array([self._rating(movie) for movie in movies], dtype=np.float64)
        if self.records and records is not None and len(movies):
            found += records.features(movies, years_of(movies)) @ np.array(self.records)
        return found

    def logits(self, movies: Sequence[Mapping[str, Any]], records: TrackRecords | None = None) -> Floats:
        """Log-probabilities of the classes, shape (movies, classes), before calibration."""
        return rating_logits(self.ratings(movies, records), self.thresholds, self.scale)

    def contributions(self, movie: Mapping[str, Any], records: TrackRecords | None = None) -> Contributions:
        """What the rating of one movie is the sum of; ``records`` as in `ratings`.

        The indicators of a number, alone and with each genre, are one contribution. Contributions of 0 are left out.
        """
        found: dict[tuple[str, str], float] = defaultdict(float)
        for name, field, text in described(movie, self.fields):
            found[field, text] += self.indicators.get(name, 0.0)
        for word, points in self._by_word(movie).items():
            found[WORDS, word] += points
        weights = self._by_credit(movie)
        for name, weight in weights.items():
            field, _, text = name.partition("=")
            found[field, text] += weight / len(weights)
        if self.records and records is not None:
            (features,) = records.features([movie], years_of([movie]))
            for role, feature, weight in zip(ROLES, features.tolist(), self.records, strict=True):
                found[EARLIER.format(role), ""] += feature * weight
        each = [Contribution(field, text, points) for (field, text), points in found.items() if points]
        return Contributions(self.intercept, each)

    def _rating(self, movie: Mapping[str, Any]) -> float:
        rating = self.intercept + sum(self.indicators.get(name, 0.0) for name in indicators(movie, self.fields))
        rating += sum(self._by_word(movie).values())
        weights = self._by_credit(movie).values()
        return rating + sum(sorted(weights)) / (len(weights) or 1)

    def _by_word(self, movie: Mapping[str, Any]) -> dict[str, float]:
        """What each word and each pair of words adds to the rating of a movie."""
        counts = Counter(word for word in words(movie, self.fields) if word in self.words)
        values = {word: (1 + math.log(count)) * self.words[word][0] for word, count in counts.items()}
        length = math.sqrt(sum(value * value for value in values.values())) or 1.0
        return {word: value / length * self.words[word][1] for word, value in values.items()}

    def _by_credit(self, movie: Mapping[str, Any]) -> dict[str, float]:
        """The weight of each name of the block that a movie has, of which the mean counts."""
        return {name: self.credits[name] for name in set(credited(movie, self.names)) if name in self.credits}


@dataclass(frozen=True)
class LinearPart:
    """Two linear models: ``facts`` for movies with at least half of their facts, ``plot`` for the others.

    The second one reads title, genres and summary alone. Its words have larger weights, because no fact explains a part
    of the rating. ``records`` are the track records of the people, which the first one may read.
    """

    facts: LinearModel
    plot: LinearModel
    records: TrackRecords | None = None

    def logits(self, movies: Sequence[Mapping[str, Any]], as_known: bool | None = None) -> Floats:
        """Log-probabilities of the classes, shape (movies, classes), before calibration.

        ``as_known`` chooses the model for all movies: whether at least half of their facts count as known.
        """
        logits = np.zeros((len(movies), len(CLASSES)))
        known = facts_known(movies, self.facts.fields) if as_known is None else np.full(len(movies), as_known)
        for rows, model in ((np.flatnonzero(known), self.facts), (np.flatnonzero(~known), self.plot)):
            if len(rows):
                logits[rows] = model.logits([movies[int(row)] for row in rows], self.records)
        return logits

    def contributions(self, movie: Mapping[str, Any]) -> Contributions:
        """What the rating of one movie is the sum of, by the model that `logits` takes for this movie."""
        (known,) = facts_known([movie], self.facts.fields)
        return (self.facts if known else self.plot).contributions(movie, self.records)


def logistic_scale(variance: float) -> float:
    """The scale of the logistic distribution with this variance: the variance is scale² · π² / 3."""
    return float(np.sqrt(3 * variance) / np.pi)


def rating_logits(ratings: Floats, thresholds: Thresholds, scale: float) -> Floats:
    """Log-probabilities of the classes (movies, classes), given the predicted ratings (movies,).

    The true rating has a logistic distribution around the predicted one, with ``scale`` in rating points. Source: the
    cumulative link model of McCullagh, "Regression Models for Ordinal Data", JRSS B 1980.
    """
    below = 1 / (1 + np.exp(-(thresholds.low - ratings) / scale))
    above = 1 / (1 + np.exp(-(ratings - thresholds.high) / scale))
    logits: Floats = np.log(np.maximum(np.stack([below, 1 - below - above, above], axis=1), 1e-9))
    return logits


def indicators(movie: Mapping[str, Any], fields: Sequence[str]) -> Iterator[str]:
    """The names of the indicators that are 1 for a movie: "genres=Drama", "year>1992", "known=runtime"."""
    return (found.name for found in described(movie, fields))


def described(movie: Mapping[str, Any], fields: Sequence[str]) -> Iterator[Indicator]:
    """The indicators that are 1 for a movie. All indicators of a number have the same text: "1993 to 1996"."""
    genres = names(movie, "genres") if "genres" in fields else []
    for field in fields:
        if field in ("title", "summary") or not has(movie, field):
            continue
        if field in STEPS:
            value = number(movie, field) or 0
            below, text = [step for step in STEPS[field] if value > step], _between(field, value)
            yield Indicator(f"known={field}", field, text)
            yield from (Indicator(f"{field}>{step}", field, text) for step in below)
            yield from (
                Indicator(f"{genre} {field}>{step}", field, text)
                for genre in genres
                for step in GENRE_STEPS.get(field, ())
                if value > step
            )
            continue
        yield Indicator(f"known={field}", field, KNOWN)
        found = [normalise(movie[field])] if field in TEXTS else names(movie, field)
        yield from (Indicator(f"{field}={name}", field, name) for name in found)
        if field == "genres":
            pairs = [f"{one} & {other}" for one, other in combinations(sorted(found), 2)]
            yield from (Indicator(pair, field, pair) for pair in pairs)
        if field == "spoken_languages":
            yield Indicator(f"{field} {len(found)}", field, f"{len(found)} in all")
            yield Indicator(f"first {field}={found[0]}", field, f"{found[0]} first")


def _between(field: str, value: int) -> str:
    """The steps between which a number lies: "101 to 105 minutes"."""
    steps, unit = STEPS[field], UNITS[field]
    place = bisect_left(steps, value)
    shown = "" if field == "year" else ","  # a year has no comma
    if place == 0:
        return f"up to {steps[0]:{shown}}{unit}"
    if place == len(steps):
        return f"above {steps[-1]:{shown}}{unit}"
    return f"{steps[place - 1] + 1:{shown}} to {steps[place]:{shown}}{unit}"


def credited(movie: Mapping[str, Any], fields: Sequence[str]) -> Iterator[str]:
    """The names that a movie lists in ``fields``, each with its field: "writers=Ada Example"."""
    return (f"{field}={name}" for field in fields for name in names(movie, field))


def words(movie: Mapping[str, Any], fields: Sequence[str]) -> list[str]:
    """The words of title and summary in lower case, and each pair of neighbouring words."""
    found = WORD.findall(compose(movie, [field for field in fields if field in ("title", "summary")]).lower())
    return [*found, *(f"{one} {other}" for one, other in pairwise(found))]


def write(folder: Path, part: LinearPart) -> None:
    """Put the linear part into a checkpoint folder."""
    stored = {"facts": _stored(part.facts), "plot": _stored(part.plot)}
    # Without indentation: a line for each number would make the file three times as long.
    (folder / FILE).write_text(json.dumps(stored, ensure_ascii=False) + "\n", encoding="utf-8")
    if part.records is not None:
        track_records.write(folder, part.records)


def read(folder: str | Path) -> LinearPart:
    """Read the linear part of a checkpoint folder.

    Raises:
        UserError: a file is missing or broken, or a weight in it is not a finite number.
    """
    path = Path(folder, FILE)
    found = storage.read_json(path)
    try:
        parts = checks.mapping(found, "the file")
        facts, plot = (_model(checks.part(parts, name), name) for name in ("facts", "plot"))
    except ValueError as error:
        raise UserError(f"{path}: not a linear part ({error})") from None
    return LinearPart(facts, plot, track_records.read(folder) if facts.records else None)


def read_thresholds(found: Any, place: str = "thresholds") -> Thresholds:
    """Thresholds as a JSON file holds them.

    Raises:
        ValueError: they are not two rising numbers.
    """
    values = checks.mapping(found, place)
    low, high = (checks.finite(checks.part(values, name, place), f"{place}.{name}") for name in ("low", "high"))
    if not low < high:
        raise ValueError(f"{place}.low must be below {place}.high, found {low:g} and {high:g}")
    return Thresholds(low, high)


# Attributes that the file stores under another name. Renaming them there would change every stored model.
STORED: Final = {"scale": "spread", "indicators": "facts"}


def _stored(model: LinearModel) -> dict[str, Any]:
    return {STORED.get(name, name): value for name, value in asdict(model).items()}


def _model(found: Any, place: str) -> LinearModel:
    values = checks.mapping(found, place)

    def part(name: str) -> tuple[Any, str]:
        return checks.part(values, name, place), f"{place}.{name}"

    indicators, indicators_place = part("facts")
    words, words_place = part("words")
    weights = checks.mapping(indicators, indicators_place)
    if not checks.all_finite(weights.values()):
        raise ValueError(f"{indicators_place} holds a weight that is not a finite number")
    pairs = checks.mapping(words, words_place)
    try:
        pairs = dict(zip(pairs, map(tuple, pairs.values()), strict=True))  # a tuple takes less memory than a list
    except TypeError:
        raise ValueError(f"{words_place} holds a word without two numbers") from None
    if not set(map(len, pairs.values())) <= {2} or not checks.all_finite(list(chain.from_iterable(pairs.values()))):
        raise ValueError(f"{words_place} holds a word without two finite numbers")
    # A model of before these were read has none of the three.
    block = values.get("names") or []
    by_name = checks.mapping(values.get("credits", {}), f"{place}.credits")
    if not checks.all_finite(by_name.values()):
        raise ValueError(f"{place}.credits holds a weight that is not a finite number")
    records = values.get("records", [])
    return LinearModel(
        names=checks.choices(block, f"{place}.names", NAMES) if block else (),
        credits=by_name,
        records=checks.vector(records, f"{place}.records", (0, len(FEATURES))),
        fields=checks.choices(*part("fields"), FIELDS),
        thresholds=read_thresholds(*part("thresholds")),
        intercept=checks.finite(*part("intercept")),
        scale=checks.positive(*part("spread")),
        indicators=weights,
        words=pairs,
    )
