"""Fitting the calibration and the decision rule, on the validation split and nothing else."""

from typing import Literal

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.metrics import balanced_accuracy_score, f1_score

from stages.decision import Calibration, Decision, Floats, Ints

STRENGTHS = np.linspace(0.0, 1.2, 25)


def fit_calibration(logits: Floats, labels: Ints) -> Calibration:
    """Fit temperature and bias by maximum likelihood on logits (rows, classes) and class indices (rows,)."""
    classes = logits.shape[1]
    rows = np.arange(len(labels))

    def loss(parameters: Floats) -> float:
        scores = logits * np.exp(parameters[0]) + np.append(parameters[1:], 0.0)
        # A whisper of a prior keeps a perfectly separated validation split from an infinite slope.
        return float(-log_softmax(scores, axis=1)[rows, labels].mean() + 1e-4 * np.square(parameters).sum())

    bounds = [(-5.0, 5.0)] + [(-20.0, 20.0)] * (classes - 1)
    found = minimize(loss, np.zeros(classes), method="L-BFGS-B", bounds=bounds).x
    bias = np.append(found[1:], 0.0)
    return Calibration(float(np.exp(-found[0])), tuple(float(b) for b in bias - bias.mean()))


def fit_decision(
    rule: Literal["argmax", "prior_corrected"], probabilities: Floats, labels: Ints, shares: Floats
) -> Decision:
    """Choose the decision for calibrated probabilities (rows, classes) and class indices (rows,).

    ``shares`` are the classes' shares of the training split. The strength of the correction is the one with the
    best mean of balanced accuracy and macro-F1, so that one rule serves both.
    """
    if rule == "argmax":
        return Decision(rule, 0.0, (0.0,) * len(shares))
    return max(
        (prior_corrected(float(strength), shares) for strength in STRENGTHS),
        key=lambda decision: balance(labels, decision.classes(probabilities)),
    )


def prior_corrected(strength: float, shares: Floats) -> Decision:
    """The rule that divides each probability by its class's training share to the power of ``strength``."""
    return Decision("prior_corrected", strength, tuple(float(o) for o in -strength * np.log(shares)))


def balance(labels: Ints, predicted: Ints) -> float:
    """The mean of balanced accuracy and macro-F1: what the decision, and the baseline's C, are chosen by."""
    macro_f1 = f1_score(labels, predicted, average="macro", zero_division=0.0)
    return float(balanced_accuracy_score(labels, predicted) + macro_f1) / 2
