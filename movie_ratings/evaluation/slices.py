"""Figures of merit by kind of movie: genre, decade, language, votes and length of the summary."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from movie_ratings.core.arrays import Ints
from movie_ratings.evaluation.metrics import fast_scores, intervals
from movie_ratings.movies.text import names, normalise, number

FEWEST: Final = 30  # movies of a slice: with fewer, an interval says nothing
CHANCE: Final = 1 / 3  # balanced accuracy of any answer that does not look


def slices(
    movies: Sequence[Mapping[str, Any]], labels: Ints, predicted: Ints, samples: int, seed: int
) -> list[dict[str, Any]]:
    """For each slice with enough movies and every class: rows, balanced accuracy, its 95% interval, and a warning.

    The warning is for a slice of which the figure is not above chance.
    """
    members: dict[tuple[str, str], list[int]] = {}
    for row, movie in enumerate(movies):
        for key in keys(movie):
            members.setdefault(key, []).append(row)
    found = []
    for (kind, name), rows in sorted(members.items()):
        picked = np.array(rows)
        if len(rows) < FEWEST or len(set(labels[picked].tolist())) < 3:
            continue
        mine, answers = labels[picked], predicted[picked]
        interval = intervals(mine, answers, samples, seed)
        accuracy = fast_scores(mine, answers)["balanced_accuracy"]
        found.append(
            {
                "slice": kind,
                "value": name,
                "rows": len(rows),
                "balanced_accuracy": accuracy,
                "from": interval["balanced_accuracy"][0],
                "to": interval["balanced_accuracy"][1],
                "worse_than_chance": accuracy <= CHANCE,
            }
        )
    return found


def keys(movie: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The slices that a movie belongs to, as (kind, value)."""
    found = [("genre", genre) for genre in names(movie, "genres")]
    if (year := number(movie, "year")) is not None:
        found.append(("decade", f"{year // 10 * 10}s" if year >= 1970 else "before 1970"))
    languages = names(movie, "spoken_languages")
    if languages:
        found.append(("language", "English alone" if languages == ["English"] else "with others" if
                      "English" in languages else "without English"))  # fmt: skip
    votes = movie.get("vote_count")
    if votes is not None:
        found.append(("votes", _step(votes, (100, 1_000))))
    found.append(("words of the summary", _step(len(normalise(movie.get("summary") or "").split()), (30, 60))))
    return found


def _step(value: float, edges: Sequence[int]) -> str:
    """The range between ``edges`` that ``value`` lies in, in words."""
    below = [edge for edge in edges if value >= edge]
    above = [edge for edge in edges if value < edge]
    if not below:
        return f"below {above[0]:,}"
    return f"{below[-1]:,} to {above[0]:,}" if above else f"{below[-1]:,} and more"
