"""Fitting calibration, decision rule and interval on the validation split."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from movie_ratings.core.arrays import Floats, Ints
from movie_ratings.model import confusion
from movie_ratings.model.decision import STRENGTHS, Answering, Calibration, Decision, Metric, Rule, prior_corrected
from movie_ratings.model.rating import fit_interval, implied_ratings
from movie_ratings.movies.labels import Thresholds, class_indices

OFFSETS: Final = np.linspace(0.0, 3.0, 31)
# The weight of balanced accuracy in the score that chooses a decision; macro-F1 has the rest.
SHARES: Final[dict[Metric, float]] = {"balanced_accuracy": 1.0, "macro_f1": 0.0, "both": 2 / 3}


@dataclass(frozen=True)
class Truth:
    """What is known of the movies of the validation split: their ratings (movies,).

    ``thresholds`` lie between the classes, and ``shares`` are the classes' shares of the training split (classes,).
    """

    ratings: Floats
    thresholds: Thresholds
    shares: Floats

    @property
    def labels(self) -> Ints:
        """Class indices (movies,)."""
        return class_indices(self.ratings, self.thresholds)


def fit_answering(rule: Rule, metric: Metric, logits: Floats, truth: Truth) -> Answering:
    """Fit calibration, decision and interval on the validation split, whose ``logits`` are (models, movies, classes).

    The calibration has a handful of parameters, so that the residuals of the movies that it is fitted on are as large
    as those of other movies.
    """
    calibration = fit_calibration(logits, truth.labels)
    probabilities = calibration.probabilities(logits)
    return Answering(
        calibration,
        fit_decision(rule, probabilities, truth.shares, metric),
        fit_interval(truth.ratings, implied_ratings(probabilities, truth.thresholds)),
    )


def fit_calibration(logits: Floats, labels: Ints) -> Calibration:
    """Fit scales and bias by maximum likelihood on logits (models, movies, classes) and class indices (movies,)."""
    models, _, classes = logits.shape
    rows = np.arange(len(labels))

    def loss(parameters: Floats) -> float:
        scores = np.tensordot(parameters[:models], logits, axes=1) + np.append(parameters[models:], 0.0)
        # The penalty keeps the scales finite when the logits separate the classes perfectly.
        return float(-log_softmax(scores, axis=1)[rows, labels].mean() + 1e-4 * np.square(parameters).sum())

    # A scale below 0 would turn a model's prediction into its opposite.
    bounds = [(0.0, 150.0)] * models + [(-20.0, 20.0)] * (classes - 1)
    start = np.append(np.full(models, 1 / models), np.zeros(classes - 1))
    found = minimize(loss, start, method="L-BFGS-B", bounds=bounds).x
    bias = np.append(found[models:], 0.0)
    return Calibration(tuple(float(s) for s in found[:models]), tuple(float(b) for b in bias - bias.mean()))


def fit_decision(rule: Rule, probabilities: Floats, shares: Floats, metric: Metric = "both") -> Decision:
    """Choose the decision with the best expected ``metric`` on the validation split.

    ``probabilities`` is (movies, classes), calibrated; ``shares`` (classes,) are the classes' shares of the training
    split. The metric ``both`` is two parts balanced accuracy to one part macro-F1. The metric is computed from the
    probabilities (`expected_scores`), not from the labels: with a few hundred labels, the best decision would be
    mostly chance.
    """
    share = SHARES[metric]

    def score(decision: Decision) -> float:
        expected = expected_scores(decision, probabilities)
        return share * expected["balanced_accuracy"] + (1 - share) * expected["macro_f1"]

    return max(_candidates(rule, shares), key=score)


def _candidates(rule: Rule, shares: Floats) -> Iterator[Decision]:
    match rule:
        case "argmax":
            yield Decision(rule, 0.0, (0.0,) * len(shares))
        case "prior_corrected":
            yield from (prior_corrected(float(strength), shares) for strength in STRENGTHS)
        case "thresholds":
            for offsets in product(OFFSETS, repeat=len(shares) - 1):
                # The offset of the most frequent class is 0; the offsets of the others are relative to it.
                placed = np.insert(np.array(offsets), int(shares.argmax()), 0.0)
                yield Decision(rule, 0.0, tuple(float(o) for o in placed))


def expected_scores(decision: Decision, probabilities: Floats) -> dict[str, float]:
    """The expected scores of a decision, as `model.confusion.scores` names them.

    Each movie counts for every class with its calibrated probability; ``probabilities`` is (movies, classes).
    """
    predicted = decision.classes(probabilities)
    expected = [probabilities[predicted == k].sum(axis=0) for k in range(probabilities.shape[1])]
    return confusion.scores(np.stack(expected, axis=1))
