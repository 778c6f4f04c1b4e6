"""Balanced accuracy, and coverage of the intervals, by kind of movie: genre, decade, language, votes, length."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from movie_ratings.evaluation.metrics import class_scores, intervals, rating_scores
from movie_ratings.model.answers import Answers
from movie_ratings.movies.labels import CLASSES
from movie_ratings.movies.text import names, normalise, number
from movie_ratings.params import Evaluate

FEWEST: Final = 30  # movies of a slice: with fewer, the interval is too wide to mean anything
CHANCE: Final = 1 / len(CLASSES)  # balanced accuracy of predictions that do not depend on the movie
COLUMNS: Final = {
    "slice": pl.String,
    "value": pl.String,
    "rows": pl.Int64,
    "balanced_accuracy": pl.Float64,
    "from": pl.Float64,
    "to": pl.Float64,
    "worse_than_chance": pl.Boolean,
}


def slices(movies: Sequence[Mapping[str, Any]], answers: Answers, options: Evaluate) -> pl.DataFrame:
    """Balanced accuracy of each slice with its 95% interval (``from``, ``to``), by bootstrap over its movies.

    A slice with fewer than 30 movies, or without a movie of some class, is left out. ``worse_than_chance`` marks a
    slice whose balanced accuracy is one third or less.
    """
    members: dict[tuple[str, str], list[int]] = {}
    for row, movie in enumerate(movies):
        for key in keys(movie):
            members.setdefault(key, []).append(row)
    found = []
    for (kind, value), rows in sorted(members.items()):
        labels, predicted = answers.labels[np.array(rows)], answers.predicted[np.array(rows)]
        if len(rows) < FEWEST or len(set(labels.tolist())) < len(CLASSES):
            continue
        accuracy = class_scores(labels, predicted)["balanced_accuracy"]
        low, high = intervals(labels, predicted, options.bootstrap, options.seed)["balanced_accuracy"]
        found.append((kind, value, len(rows), accuracy, low, high, accuracy <= CHANCE))
    return pl.DataFrame(found, schema=COLUMNS, orient="row")


def interval_slices(movies: Sequence[Mapping[str, Any]], views: Mapping[str, Answers]) -> pl.DataFrame:
    """The figures of the predicted ratings of all movies, and of each decade and each range of votes.

    ``views`` has the predictions by what the model was given of the movies. The columns are those of
    `metrics.rating_scores`, in rating points. Slices with fewer than 30 movies are left out.
    """
    members: dict[tuple[str, str], list[int]] = {("all", ""): list(range(len(movies)))}
    for row, movie in enumerate(movies):
        for kind, value in keys(movie):
            if kind in ("decade", "votes"):
                members.setdefault((kind, value), []).append(row)
    found = []
    for view, answers in views.items():
        assert answers.ratings is not None
        for (kind, value), rows in sorted(members.items()):
            if len(rows) >= FEWEST or kind == "all":
                scores = rating_scores(answers.ratings.take(np.array(rows)))
                found.append({"given": view, "slice": kind, "value": value, "rows": len(rows)} | scores)
    return pl.DataFrame(found)


def keys(movie: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The slices that a movie belongs to, as (kind, value)."""
    found = [("genre", genre) for genre in names(movie, "genres")]
    if (year := number(movie, "year")) is not None:
        found.append(("decade", f"{year // 10 * 10}s" if year >= 1970 else "before 1970"))
    if languages := names(movie, "spoken_languages"):
        found.append(("language", _language(languages)))
    votes = movie.get("vote_count")
    if votes is not None:
        found.append(("votes", _step(votes, (100, 1_000))))
    found.append(("words of the summary", _step(len(normalise(movie.get("summary") or "").split()), (30, 60))))
    return found


def _language(languages: Sequence[str]) -> str:
    if "English" not in languages:
        return "without English"
    return "English alone" if len(languages) == 1 else "with others"


def _step(value: float, edges: Sequence[int]) -> str:
    """The range between ``edges`` in which ``value`` lies, in words."""
    below = [edge for edge in edges if value >= edge]
    above = [edge for edge in edges if value < edge]
    if not below:
        return f"below {above[0]:,}"
    return f"{below[-1]:,} to {above[0]:,}" if above else f"{below[-1]:,} and more"
