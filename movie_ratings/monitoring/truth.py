"""How good the served predictions were, by the true ratings and labels that came later."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import binom

from movie_ratings.evaluation import metrics
from movie_ratings.evaluation.slices import FEWEST
from movie_ratings.model.answers import Answers
from movie_ratings.model.rating import COVERAGE

CHANCE: Final = 0.01  # of an alarm about a model that is as good as it says
DRAWS: Final = 500


@dataclass(frozen=True)
class Truth:
    """Figures of the predictions whose label is known, and of those whose rating is.

    ``calibration_by_chance`` is the calibration error that a perfectly calibrated model exceeds in one of a hundred
    cases; ``coverage_by_chance`` the coverage that intervals of 80% fall short of in one of a hundred. Figures are None
    where fewer than 30 movies have a label, or a rating.
    """

    labels: int
    ratings: int
    balanced_accuracy: float | None = None
    log_loss: float | None = None
    calibration_error: float | None = None
    calibration_by_chance: float | None = None
    mean_absolute_error: float | None = None
    coverage: float | None = None
    coverage_by_chance: float | None = None

    @property
    def alarms(self) -> list[str]:
        """What is worse than chance explains."""
        error, coverage = self.calibration_error, self.coverage
        found = []
        if error is not None and self.calibration_by_chance is not None and error > self.calibration_by_chance:
            found.append("calibration")
        if coverage is not None and self.coverage_by_chance is not None and coverage < self.coverage_by_chance:
            found.append("coverage")
        return found


def judged(labelled: Answers, rated: Answers, seed: int) -> Truth:
    """Figures of the movies with a label (those with a rating among them), and of the movies with a rating."""
    found = Truth(len(labelled.labels), len(rated.labels))
    values: dict[str, float] = {}
    if found.labels >= FEWEST:
        scores = metrics.scores(labelled)
        values |= {name: scores[name] for name in ("balanced_accuracy", "log_loss")}
        values["calibration_error"] = scores["expected_calibration_error"]
        values["calibration_by_chance"] = _calibration_by_chance(labelled, seed)
    if found.ratings >= FEWEST and rated.ratings is not None:
        values["mean_absolute_error"] = float(rated.ratings.errors.mean())
        values["coverage"] = float(rated.ratings.covered.mean())
        values["coverage_by_chance"] = float(binom.ppf(CHANCE, found.ratings, COVERAGE)) / found.ratings
    return Truth(found.labels, found.ratings, **values)


def _calibration_by_chance(answers: Answers, seed: int) -> float:
    """What the calibration error reaches where labels are drawn from the probabilities themselves."""
    generator = np.random.default_rng(seed)
    edges = answers.probabilities.cumsum(axis=1)
    drawn = [
        metrics.expected_calibration_error(
            (generator.random((len(edges), 1)) > edges[:, :-1]).sum(axis=1), answers.probabilities
        )
        for _ in range(DRAWS)
    ]
    return float(np.quantile(drawn, 1 - CHANCE))
