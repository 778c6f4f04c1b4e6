"""Fitting the calibration and the decision rule, on the validation split and nothing else."""

from typing import Literal

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

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


def fit_decision(rule: Literal["argmax", "prior_corrected"], probabilities: Floats, shares: Floats) -> Decision:
    """Choose the decision for calibrated validation probabilities (rows, classes).

    ``shares`` are the classes' shares of the training split. The strength of the correction is the one with the best
    expected score, two parts balanced accuracy to one part macro-F1, so that one rule serves both. Expected: each row
    counts for every class with its probability. Against the observed labels of a few hundred rows the best strength
    is mostly luck.
    """
    if rule == "argmax":
        return Decision(rule, 0.0, (0.0,) * len(shares))
    return max((prior_corrected(float(s), shares) for s in STRENGTHS), key=lambda d: _expected(d, probabilities))


def prior_corrected(strength: float, shares: Floats) -> Decision:
    """The rule that divides each probability by its class's training share to the power of ``strength``."""
    return Decision("prior_corrected", strength, tuple(float(o) for o in -strength * np.log(shares)))


def _expected(decision: Decision, probabilities: Floats) -> float:
    answers = decision.classes(probabilities)
    # Expected confusion matrix, (true class, answered class).
    confusion = np.stack([probabilities[answers == k].sum(axis=0) for k in range(probabilities.shape[1])], axis=1)
    true, answered, hits = confusion.sum(axis=1), confusion.sum(axis=0), np.diag(confusion)
    balanced_accuracy = (hits / true).mean()
    macro_f1 = (2 * hits / (true + answered)).mean()
    return float(2 * balanced_accuracy + macro_f1) / 3
