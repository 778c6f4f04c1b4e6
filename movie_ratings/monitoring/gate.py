"""Is the new model worse than the old one, beyond chance? Pure functions of what both predicted of the same movies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, Final, Literal

from movie_ratings.evaluation import metrics
from movie_ratings.evaluation.slices import FEWEST, keys
from movie_ratings.model.answers import Answers
from movie_ratings.monitoring.predictions import Pair
from movie_ratings.movies.labels import CLASSES
from movie_ratings.params import Evaluate

Verdict = Literal["worse", "better", "within chance"]
LOWER_IS_BETTER: Final = ("log-loss", "mean error of the rating")
ALL: Final = "all movies"
CHANCE: Final = 0.05  # that an interval excludes 0 although the two models are equally good


@dataclass(frozen=True)
class Figure:
    """A figure of both models for the same movies, and the interval of the difference new - old.

    ``movies`` names them: all of them, or a slice. The interval is wider than one of 95%: see `compare`.
    """

    movies: str
    rows: int
    name: str
    old: float
    new: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        """Worse or better if the whole interval lies on one side of 0."""
        low, high = (-self.high, -self.low) if self.name in LOWER_IS_BETTER else (self.low, self.high)
        return "worse" if high < 0 else "better" if low > 0 else "within chance"


def compare(
    pair: Pair, facts: Sequence[Mapping[str, Any] | None], options: Evaluate, step: Callable[[str], None]
) -> list[Figure]:
    """The headline figures, then balanced accuracy of each slice.

    ``facts`` has the movie of each row of ``pair``, or None where nothing is known of it; an empty sequence means no
    slices. ``step`` is called with a line about each part before it is computed: a part takes up to seconds.

    Of all intervals together, one excludes 0 by chance in at most 5% of the comparisons: half of that chance is divided
    among the headline figures, the other half among the slices.
    """
    step(f"all {len(pair.ids):,} movies")
    found = _together(_headline(pair.new, pair.old, options))
    slices = []
    parts = _slices(pair, facts)
    for number, (name, rows) in enumerate(parts, 1):
        step(f"slice {number} of {len(parts)}")
        new, old = pair.take(rows)
        slices.append(_accuracy(name, new, old, options))
    return found + _together(slices)


def _together(figures: Sequence[Figure]) -> list[Figure]:
    """The figures with wider intervals, so that one of them excludes 0 by chance in 2.5% of the comparisons at most.

    Of two dozen intervals of 95%, one would exclude 0 in almost every other comparison of equal models. The correction
    is Bonferroni's. Both halves of an interval are multiplied by the same factor, as for a normal distribution.
    """
    wider = _deviations(CHANCE / 2 / max(len(figures), 1)) / _deviations(CHANCE)

    def widened(figure: Figure) -> Figure:
        difference = figure.new - figure.old
        low, high = (difference + wider * (end - difference) for end in (figure.low, figure.high))
        return replace(figure, low=low, high=high)

    return list(map(widened, figures))


def _headline(new: Answers, old: Answers, options: Evaluate) -> list[Figure]:
    drawn, rows = (options.bootstrap, options.seed), len(new.labels)
    first, second = metrics.scores(new), metrics.scores(old)
    classes = metrics.paired_difference(new.labels, new.predicted, old.predicted, *drawn)
    found = [
        Figure(ALL, rows, title, second[name], first[name], *classes["interval_95"][name])
        for title, name in (("balanced accuracy", "balanced_accuracy"), ("macro-F1", "macro_f1"))
    ]
    loss = metrics.paired_log_loss(new, old, *drawn)
    found.append(Figure(ALL, rows, "log-loss", second["log_loss"], first["log_loss"], *loss["interval_95"]))
    if new.ratings is not None and old.ratings is not None:
        error = metrics.paired_error(new.ratings, old.ratings, *drawn)
        names = (ALL, rows, "mean error of the rating")
        found.append(Figure(*names, second["mean_absolute_error"], first["mean_absolute_error"], *error["interval_95"]))
    return found


def _slices(pair: Pair, facts: Sequence[Mapping[str, Any] | None]) -> list[tuple[str, list[int]]]:
    """Name and row numbers of each slice that has enough movies, and movies of every class."""
    members: dict[tuple[str, str], list[int]] = {}
    for row, movie in enumerate(facts):
        for key in keys(movie) if movie is not None else ():
            members.setdefault(key, []).append(row)
    return [
        (f"{kind}: {value}", rows)
        for (kind, value), rows in sorted(members.items())
        if len(rows) >= FEWEST and len(set(pair.new.labels[rows].tolist())) == len(CLASSES)
    ]


def _accuracy(name: str, new: Answers, old: Answers, options: Evaluate) -> Figure:
    """Balanced accuracy of a slice, with its interval of 95%."""
    figure = "balanced_accuracy"
    found = metrics.paired_difference(new.labels, new.predicted, old.predicted, options.bootstrap, options.seed)
    values = (metrics.class_scores(side.labels, side.predicted)[figure] for side in (old, new))
    return Figure(name, len(new.labels), "balanced accuracy", *values, *found["interval_95"][figure])


def _deviations(chance: float) -> float:
    """How many standard deviations on both sides of the mean leave ``chance`` outside."""
    return NormalDist().inv_cdf(1 - chance / 2)
