"""Fitting the calibration and the decision rule, on the validation split and nothing else."""

from collections.abc import Iterator
from itertools import product
from typing import Final

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from movie_ratings.core.arrays import Floats, Ints
from movie_ratings.model import confusion
from movie_ratings.model.decision import STRENGTHS, Answering, Calibration, Decision, Metric, Rule, prior_corrected

OFFSETS: Final = np.linspace(0.0, 3.0, 31)
# The share of balanced accuracy in what a decision is chosen by; the rest is macro-F1's.
SHARES: Final[dict[Metric, float]] = {"balanced_accuracy": 1.0, "macro_f1": 0.0, "both": 2 / 3}


def fit_answering(rule: Rule, metric: Metric, logits: Floats, labels: Ints, shares: Floats) -> Answering:
    """Fit on validation logits (models, rows, classes) and labels (rows,); ``shares`` are training's class shares."""
    calibration = fit_calibration(logits, labels)
    return Answering(calibration, fit_decision(rule, calibration.probabilities(logits), shares, metric))


def fit_calibration(logits: Floats, labels: Ints) -> Calibration:
    """Fit scales and bias by maximum likelihood on logits (models, rows, classes) and class indices (rows,)."""
    models, _, classes = logits.shape
    rows = np.arange(len(labels))

    def loss(parameters: Floats) -> float:
        scores = np.tensordot(parameters[:models], logits, axes=1) + np.append(parameters[models:], 0.0)
        # A whisper of a prior keeps a perfectly separated validation split from an infinite slope.
        return float(-log_softmax(scores, axis=1)[rows, labels].mean() + 1e-4 * np.square(parameters).sum())

    # No model's logits count against what they say.
    bounds = [(0.0, 150.0)] * models + [(-20.0, 20.0)] * (classes - 1)
    start = np.append(np.full(models, 1 / models), np.zeros(classes - 1))
    found = minimize(loss, start, method="L-BFGS-B", bounds=bounds).x
    bias = np.append(found[models:], 0.0)
    return Calibration(tuple(float(s) for s in found[:models]), tuple(float(b) for b in bias - bias.mean()))


def fit_decision(rule: Rule, probabilities: Floats, shares: Floats, metric: Metric = "both") -> Decision:
    """Choose the decision for calibrated validation probabilities (rows, classes).

    ``shares`` are the classes' shares of the training split. The decision is the one with the best expected
    ``metric``; ``both`` is two parts balanced accuracy to one part macro-F1, so that one rule serves both. Expected:
    each row counts for every class with its probability. Against the observed labels of a few hundred rows the best
    decision is mostly luck.
    """
    share = SHARES[metric]

    def score(decision: Decision) -> float:
        balanced_accuracy, macro_f1 = expected_scores(decision, probabilities)
        return share * balanced_accuracy + (1 - share) * macro_f1

    return max(_candidates(rule, shares), key=score)


def _candidates(rule: Rule, shares: Floats) -> Iterator[Decision]:
    match rule:
        case "argmax":
            yield Decision(rule, 0.0, (0.0,) * len(shares))
        case "prior_corrected":
            yield from (prior_corrected(float(strength), shares) for strength in STRENGTHS)
        case "thresholds":
            for offsets in product(OFFSETS, repeat=len(shares) - 1):
                # The most frequent class is what the others are raised against.
                placed = np.insert(np.array(offsets), int(shares.argmax()), 0.0)
                yield Decision(rule, 0.0, tuple(float(o) for o in placed))


def expected_scores(decision: Decision, probabilities: Floats) -> tuple[float, float]:
    """Balanced accuracy and macro-F1 that calibrated probabilities (rows, classes) let expect of a decision."""
    answers = decision.classes(probabilities)
    # Expected confusion matrix, (true class, answered class).
    expected = np.stack([probabilities[answers == k].sum(axis=0) for k in range(probabilities.shape[1])], axis=1)
    scores = confusion.scores(expected)
    return scores["balanced_accuracy"], scores["macro_f1"]
