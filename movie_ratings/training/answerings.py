"""Calibration, decision and interval of the whole model, fitted on the validation split, and its figures there."""

import sys
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from sklearn.metrics import log_loss

from movie_ratings.core.arrays import Floats, Ints
from movie_ratings.model import confusion
from movie_ratings.model.decision import Answering, Answerings
from movie_ratings.model.linear import LinearPart
from movie_ratings.movies.labels import CLASSES, class_shares, label_shares
from movie_ratings.movies.text import facts_among, without
from movie_ratings.params import Decision
from movie_ratings.training.calibration import Truth, fit_answering, fit_calibration
from movie_ratings.training.dataset import TrainingDataset
from movie_ratings.training.transformer import Transformer

CHUNK: Final = 5_000  # validation movies that are in memory at a time
# A diverged model gives every movie the same probabilities. A model that learns has a far smaller log-loss than that.
LEARNT: Final = 0.99


def fit_answerings(
    transformer: Transformer, linear: LinearPart | None, dataset: TrainingDataset, options: Decision
) -> tuple[Answerings, dict[str, Any]]:
    """Fit calibration, decision and interval for movies with facts and without; return them with their figures.

    The figures are those of the validation split: of the whole model with facts (``facts``) and without (``plot``), and
    of the transformer alone.

    Raises:
        UserError: a class has no training movie.
    """
    thresholds = transformer.thresholds
    facts = [*facts_among(transformer.text.fields), *(linear.facts.names if linear else ())]
    shares = class_shares(dataset.ratings[dataset.train], thresholds)
    truth = Truth(dataset.ratings[dataset.validation], thresholds, shares)
    labels = truth.labels
    validation = dataset.movies[len(dataset.train) :]

    def logits(left_out: Sequence[str]) -> Floats:
        """Of both parts, shape (parts, movies, classes)."""
        chunks = []
        for first in range(0, len(validation), CHUNK):
            movies = [without(movie, left_out) for movie in validation[first : first + CHUNK]]
            parts = [part.logits(movies) for part in (transformer, linear) if part is not None]
            chunks.append(np.stack(parts))
        return np.concatenate(chunks, axis=1)

    views = {"facts": logits([])}
    views["plot"] = logits(facts) if facts else views["facts"]
    fitted = {view: fit_answering(options.rule, options.metric, found, truth) for view, found in views.items()}
    figures: dict[str, Any] = {view: _figures(how, views[view], labels) for view, how in fitted.items()}
    alone = views["facts"][:1]
    figures["transformer_alone"] = _alone(labels, fit_calibration(alone, labels).probabilities(alone))
    if not facts:
        del figures["facts"]  # the same as those of the other view
    return Answerings(**fitted), figures


def _figures(how: Answering, logits: Floats, labels: Ints) -> dict[str, Any]:
    probabilities = how.calibration.probabilities(logits)
    found = confusion.scores(confusion.matrix(labels, how.decision.classes(probabilities)))
    return {
        "balanced_accuracy": found["balanced_accuracy"],
        "macro_f1": found["macro_f1"],
        "log_loss": _log_loss(labels, probabilities),
        "scales": dict(zip(("transformer", "linear"), how.calibration.scales, strict=False)),
        "decision_strength": how.decision.strength,
    }


def _alone(labels: Ints, probabilities: Floats) -> dict[str, float]:
    """Log-loss of the transformer alone, and of the class shares; prints a warning if the two hardly differ."""
    shares = np.tile(label_shares(labels), (len(labels), 1))
    losses = {"log_loss": _log_loss(labels, probabilities), "class_shares_log_loss": _log_loss(labels, shares)}
    if losses["log_loss"] > LEARNT * losses["class_shares_log_loss"]:
        print(
            f"train: warning: the model has learnt next to nothing: its validation log-loss is "
            f"{losses['log_loss']:.3f}, that of the class shares {losses['class_shares_log_loss']:.3f}. "
            "If its training loss stopped falling at once, lower train.learning_rate",
            file=sys.stderr,
        )
    return losses


def _log_loss(labels: Ints, probabilities: Floats) -> float:
    return float(log_loss(labels, probabilities, labels=range(len(CLASSES))))
