"""How far the movies that come have moved from those that a model was trained on: population stability indices.

The index of two distributions over the same bins is the sum of (new share - old share) * ln(new share / old share).
Source of the index and of its two thresholds: Siddiqi, "Credit Risk Scorecards", Wiley 2006. Without any drift, the
index times (1 / old rows + 1 / new rows)^-1 has a chi-square distribution with one degree of freedom less than there
are bins. Source: Yurdakul and Naranjo, "Statistical properties of the population stability index", Journal of Risk
Model Validation 14(4), 2020. An index that few movies reach by chance is no drift, whatever its size.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from movie_ratings.core.arrays import Floats, Ints
from movie_ratings.monitoring.summary import Summary
from movie_ratings.movies.labels import CLASSES
from movie_ratings.movies.text import TEXTS

MOVED: Final = 0.1
ALARM: Final = 0.25
CHANCE: Final = 0.001  # of a drift that is none: there are dozens of indices
FEWEST: Final = 30  # movies, or names, on each side
BINS: Final = 10  # of numbers and text lengths, with a tenth of the training movies each
FREQUENT: Final = 20  # names of a field that have a bin of their own, if they are half of all names: genres, countries
NEW: Final = "new"  # the bin of names that no training movie has
Kind = Literal["content", "unknown", "unseen names", "answers"]
Level = Literal["stable", "moved", "alarm"]


@dataclass(frozen=True)
class Drift:
    """The index of one distribution: a field's content, its absence, names that training lacks, or the answers.

    ``bins`` has the name of each bin with its share before and now. ``by_chance`` is what the index reaches without any
    drift in one of a thousand comparisons of as many movies.
    """

    kind: Kind
    name: str
    index: float
    by_chance: float
    rows: tuple[int, int]
    bins: tuple[tuple[str, float, float], ...]

    @property
    def level(self) -> Level:
        """By the index's two thresholds, where it is more than chance. Fewer new names than before are no drift."""
        if self.kind == "unseen names" and not self._grew(NEW):
            return "stable"
        if self.index < MOVED or self.index <= self.by_chance:
            return "stable"
        return "alarm" if self.index >= ALARM else "moved"

    def _grew(self, name: str) -> bool:
        return any(now > before for found, before, now in self.bins if found == name)


def compared(kind: Kind, name: str, bins: Sequence[str], before: Ints, now: Ints) -> Drift | None:
    """The drift between two counts of the same ``bins``; None where a side has too few rows.

    Bins that are empty on both sides are left out. Half a row is added to each other bin, so that no share is 0.
    """
    if before.sum() < FEWEST or now.sum() < FEWEST:
        return None
    used = (before + now) > 0
    first, second = _shares(before[used] + 0.5), _shares(now[used] + 0.5)
    index = float(np.sum((second - first) * np.log(second / first)))
    rows = int(before.sum()), int(now.sum())
    degrees = max(int(used.sum()) - 1, 1)
    by_chance = float(chi2.ppf(1 - CHANCE, degrees)) * (1 / rows[0] + 1 / rows[1])
    names = [name for name, is_used in zip(bins, used, strict=True) if is_used]
    shares = _shares(before[used]), _shares(now[used])
    found = tuple((n, float(a), float(b)) for n, a, b in zip(names, *shares, strict=True))
    return Drift(kind, name, index, by_chance, rows, found)


def of_movies(train: Summary, held_out: Summary, now: Summary) -> list[Drift]:
    """The drifts of each field: its content, the share of movies without it, and the share of names that are new.

    Content and absence are compared with the movies of ``train``. Names are new if no movie of ``train`` has them.
    Their share is compared with that among the movies of ``held_out``, which the model was not trained on either.
    """
    found: list[Drift | None] = []
    for field in train.fields:
        found.append(_unknown(field, train, now))
        if field in train.numbers:
            found.append(_numbers(field, train, now))
        else:
            found += [_frequent(field, train, now), _unseen(field, train, held_out, now)]
    return [drift for drift in found if drift is not None]


def of_answers(before: Mapping[str, int], now: Mapping[str, int]) -> Drift | None:
    """The drift of the labels that were answered, from those of the test movies."""
    return compared(
        "answers", "label", CLASSES, *(np.array([side.get(c, 0) for c in CLASSES]) for side in (before, now))
    )


def _unknown(field: str, train: Summary, now: Summary) -> Drift | None:
    before, after = (np.array([side.known[field], side.rows - side.known[field]]) for side in (train, now))
    return compared("unknown", field, ("known", "unknown"), before, after)


def _numbers(field: str, train: Summary, now: Summary) -> Drift | None:
    before, after = np.array(train.numbers[field]), np.array(now.numbers[field])
    if len(before) == 0:
        return None
    edges = np.unique(np.quantile(before, np.arange(1, BINS) / BINS, method="nearest"))
    ends = [f"{edge:,}" if field != "year" else str(edge) for edge in edges.astype(int).tolist()]
    unit = " words" if field in TEXTS else ""
    names = [*(f"up to {end}{unit}" for end in ends), f"over {ends[-1]}{unit}"]
    counts = (np.bincount(np.searchsorted(edges, side), minlength=len(names)) for side in (before, after))
    return compared("content", field, names, *counts)


def _frequent(field: str, train: Summary, now: Summary) -> Drift | None:
    before, after = train.names[field], now.names[field]
    frequent = [name for name, _ in sorted(before.items(), key=lambda item: (-item[1], item[0]))[:FREQUENT]]
    if 2 * sum(before[name] for name in frequent) < before.total():
        return None  # people, companies: their names come and go
    sides = (np.array([*(side[n] for n in frequent), _others(side, frequent)]) for side in (before, after))
    return compared("content", field, [*frequent, "others"], *sides)


def _others(names: Counter[str], frequent: Sequence[str]) -> int:
    return names.total() - sum(names[name] for name in frequent)


def _unseen(field: str, train: Summary, held_out: Summary, now: Summary) -> Drift | None:
    known = train.names[field]

    def counts(names: Counter[str]) -> Ints:
        seen = sum(number for name, number in names.items() if name in known)
        return np.array([seen, names.total() - seen])

    sides = (counts(side.names[field]) for side in (held_out, now))
    return compared("unseen names", field, ("seen in training", NEW), *sides)


def _shares(counts: npt.NDArray[Any]) -> Floats:
    shares: Floats = counts / counts.sum()
    return shares
