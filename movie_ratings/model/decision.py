"""From logits to calibrated probabilities, and from probabilities to one class and the interval of a rating.

This module applies calibration and decision. `training.calibration` fits them on the validation split, and the
checkpoint stores them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from movie_ratings.core.arrays import Bools, Floats, Ints, softmax
from movie_ratings.model.rating import Interval
from movie_ratings.movies.text import facts_among, has

Rule = Literal["argmax", "prior_corrected", "thresholds"]
Metric = Literal["balanced_accuracy", "macro_f1", "both"]  # that a rule is chosen for


@dataclass(frozen=True)
class Calibration:
    """One probability out of the logits of one or more models: softmax(the sum of scale times logits, plus bias).

    Each model has a scale, the inverse of a temperature: the better model has the larger scale. The bias (classes,)
    corrects the class shares, for example after training with a class-weighted loss. Source: Alexandari, Kundaje
    and Shrikumar, "Maximum Likelihood with Bias-Corrected Calibration is Hard-To-Beat at Label Shift Adaptation",
    ICML 2020.
    """

    scales: tuple[float, ...]
    bias: tuple[float, ...]

    def probabilities(self, logits: Floats) -> Floats:
        """Calibrated probabilities, shape (rows, classes), of logits of shape (models, rows, classes)."""
        return softmax(np.tensordot(np.array(self.scales), logits, axes=1) + np.array(self.bias))


@dataclass(frozen=True)
class Decision:
    """The predicted class: the one with the largest sum of log-probability and offset; ``offsets`` is (classes,).

    ``argmax`` has offsets of zero. ``prior_corrected`` subtracts ``strength`` times the log of the class's share in
    training (logit adjustment; Menon et al., "Long-tail learning via logit adjustment", ICLR 2021): at strength 1 it
    is the best rule for balanced accuracy, at 0 for accuracy, and macro-F1 is best in between. ``thresholds`` has
    offsets of its own for each class.
    """

    rule: Rule
    strength: float
    offsets: tuple[float, ...]

    def classes(self, probabilities: Floats) -> Ints:
        """Class indices, shape (rows,), of probabilities of shape (rows, classes)."""
        scores: Floats = np.log(np.maximum(probabilities, 1e-12)) + np.array(self.offsets)
        return scores.argmax(axis=1)


STRENGTHS: Final = np.linspace(0.0, 1.2, 25)  # of the prior correction, to choose from


def prior_corrected(strength: float, shares: Floats) -> Decision:
    """The rule that divides each probability by its class's training share to the power of ``strength``."""
    return Decision("prior_corrected", strength, tuple(float(o) for o in -strength * np.log(shares)))


@dataclass(frozen=True)
class Answering:
    """Calibration, decision and the interval of the predicted rating, for one kind of movie."""

    calibration: Calibration
    decision: Decision
    interval: Interval


@dataclass(frozen=True)
class Answerings:
    """What follows from the logits of movies with at least half of their facts, and of the other movies.

    The model is less certain about movies without facts. These movies need a calibration, a decision and an interval of
    their own.
    """

    facts: Answering
    plot: Answering

    def answer(self, logits: Floats, known: Bools) -> tuple[Floats, Ints]:
        """Probabilities (rows, classes) and class indices (rows,) of logits (models, rows, classes).

        ``known`` (rows,) comes from `facts_known`.
        """
        probabilities = np.zeros(logits.shape[1:])
        answers = np.zeros(logits.shape[1], dtype=np.int64)
        for rows, how in ((known, self.facts), (~known, self.plot)):
            probabilities[rows] = how.calibration.probabilities(logits[:, rows])
            answers[rows] = how.decision.classes(probabilities[rows])
        return probabilities, answers

    def intervals(self, ratings: Floats, known: Bools) -> Floats:
        """The ends (movies, 2) of the 80% interval around each predicted rating (movies,); ``known`` as in `answer`."""
        return np.where(known[:, None], self.facts.interval.around(ratings), self.plot.interval.around(ratings))


ENOUGH: Final = 0.5


def facts_known(movies: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> Bools:
    """Whether at least half of the facts among ``fields`` are known of each movie, shape (movies,)."""
    facts = facts_among(fields)
    known = [sum(has(movie, field) for field in facts) for movie in movies]
    return np.array([bool(facts) and count >= ENOUGH * len(facts) for count in known], dtype=bool)
