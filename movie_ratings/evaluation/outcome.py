"""What became of the predictions of slates: old answers, scored by the ratings that the films have by now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import pyarrow as pa
from sklearn.metrics import log_loss

from movie_ratings.core.arrays import Floats
from movie_ratings.evaluation import metrics
from movie_ratings.model.answers import Answers, Ratings
from movie_ratings.movies.labels import CLASSES, Thresholds, class_indices, label_indices

WEEK: Final = 7  # days
# The least number of whole weeks between question and release, the longest time first.
WEEKS: Final = {26: "26 weeks or more", 13: "13 to 25 weeks", 4: "4 to 12 weeks", 0: "0 to 3 weeks"}
AFTER: Final = "on or after the day of release"
UNKNOWN: Final = "no day of release"
BEFORE: Final = "before the release"  # all of `WEEKS`
STATES: Final = ("scored", "few_votes", "gone", "failed")


@dataclass(frozen=True)
class Today:
    """What is known of the films by now.

    ``films`` has the movie record of each film that could be asked for, by its id. ``gone`` are the films that the
    source no longer has; films in neither could not be asked for.
    """

    films: Mapping[int, Mapping[str, Any]]
    gone: frozenset[int]

    def state(self, film: int, min_votes: int) -> str:
        """One of `STATES`: whether the film has a rating, or why not."""
        if film not in self.films:
            return "gone" if film in self.gone else "failed"
        votes, rating = self.films[film]["vote_count"] or 0, self.films[film]["vote_average"]
        return "scored" if votes >= min_votes and rating else "few_votes"  # a rating of 0 stands for none


@dataclass(frozen=True)
class Drawn:
    """How the 95% intervals are computed: the number of resamples, and the seed of their draws."""

    samples: int
    seed: int


def outcomes(slates: pa.Table, today: Today, min_votes: int, drawn: Drawn) -> list[dict[str, Any]]:
    """One row for each model version and span of time before the release, and one for the whole time before it.

    ``slates`` has the rows of `movie_ratings.prediction.slates.SLATE`. A film counts once in a row: with the last
    answer of that model in that span. Each row has the number of ``films`` and how many of them are in each of
    `STATES`. Where films are scored, it has the scores too, and 95% intervals over films.
    """
    answers = sorted(slates.to_pylist(), key=lambda answer: (answer["model_version"], answer["asked"]))
    rows = []
    for version in dict.fromkeys(answer["model_version"] for answer in answers):
        groups: dict[str, dict[int, Mapping[str, Any]]] = {}
        for answer in (answer for answer in answers if answer["model_version"] == version):
            span = span_of(answer, today)
            for name in (BEFORE, span) if span in WEEKS.values() else (span,):
                groups.setdefault(name, {})[answer["id"]] = answer
        for name in (BEFORE, *WEEKS.values(), AFTER, UNKNOWN):
            if films := groups.get(name):
                row = {"model_version": version, "asked": name}
                rows.append(row | _scored(list(films.values()), today, min_votes, drawn))
    return rows


def span_of(answer: Mapping[str, Any], today: Today) -> str:
    """How long before its release a film was asked for; the day of release is the one that is known by now."""
    known = today.films.get(answer["id"], {}).get("release_date")
    released: date | None = known or answer["release_date"]
    if released is None:
        return UNKNOWN
    days = (released - answer["asked"].date()).days
    return next((name for least, name in WEEKS.items() if days > 0 and days // WEEK >= least), AFTER)


def _scored(films: Sequence[Mapping[str, Any]], today: Today, min_votes: int, drawn: Drawn) -> dict[str, Any]:
    states = [today.state(film["id"], min_votes) for film in films]
    counts = {"films": len(films)} | {state: states.count(state) for state in STATES}
    rated = [film for film, state in zip(films, states, strict=True) if state == "scored"]
    if not rated:
        return counts
    answers = _answers(rated, today)
    assert answers.ratings is not None
    shares = _columns(rated, "base_rate")
    base = Answers(answers.labels, shares.argmax(axis=1), shares)
    sampled = (drawn.samples, drawn.seed)
    indices = list(range(len(CLASSES)))
    return (
        counts
        | metrics.class_scores(answers.labels, answers.predicted)
        | {
            "log_loss": float(log_loss(answers.labels, answers.probabilities, labels=indices)),
            "log_loss_of_base_rates": float(log_loss(answers.labels, shares, labels=indices)),
            "log_loss_minus_that_of_base_rates": metrics.paired_log_loss(answers, base, *sampled),
        }
        | metrics.rating_scores(answers.ratings)
        | {
            "interval_95": metrics.intervals(answers.labels, answers.predicted, *sampled)
            | metrics.rating_intervals(answers.ratings, *sampled)
        }
    )


def _answers(films: Sequence[Mapping[str, Any]], today: Today) -> Answers:
    """Old answers beside today's ratings; the true class is that of the answering model's thresholds."""
    true = np.array([today.films[film["id"]]["vote_average"] for film in films], dtype=np.float64)
    thresholds = Thresholds(films[0]["threshold_low"], films[0]["threshold_high"])
    ends = [[film["predicted_rating_low"], film["predicted_rating_high"]] for film in films]
    return Answers(
        class_indices(true, thresholds),
        label_indices(film["label"] for film in films),
        _columns(films, "probability"),
        Ratings(true, np.array([film["predicted_rating"] for film in films], dtype=np.float64), np.array(ends)),
    )


def _columns(films: Sequence[Mapping[str, Any]], kind: str) -> Floats:
    return np.array([[film[f"{kind}_{name}"] for name in CLASSES] for film in films], dtype=np.float64)
