"""The score that chooses the epoch which training keeps."""

from collections.abc import Callable

import numpy as np
import torch
from transformers import EvalPrediction

from movie_ratings.core.arrays import Floats
from movie_ratings.model.decision import prior_corrected
from movie_ratings.movies.labels import class_indices, class_shares
from movie_ratings.training.calibration import expected_scores, fit_calibration
from movie_ratings.training.objectives import class_logits
from movie_ratings.training.transformer import Transformer


def selection_score(transformer: Transformer, train_ratings: Floats) -> Callable[[EvalPrediction], dict[str, float]]:
    """The function that scores an epoch: expected balanced accuracy on the validation split.

    The probabilities are calibrated, and the decision is corrected for the class shares of training. Without the
    correction, a model trained with an unweighted loss predicts "average" for nearly every movie until late.
    The balanced accuracy is the expected one: each movie counts for every class with its calibrated probability. Of a
    few hundred movies only about a hundred belong to a rare class, so which epoch predicts more of these correctly is
    mostly chance.
    """
    head, thresholds = transformer.head, transformer.thresholds
    shares = class_shares(train_ratings, thresholds)

    def score(evaluation: EvalPrediction) -> dict[str, float]:
        # The Trainer groups the validation movies by length too, and returns outputs and labels in its own order.
        labels = class_indices(np.asarray(evaluation.label_ids)[:, 0], thresholds)
        outputs = torch.from_numpy(np.asarray(evaluation.predictions)).double()
        logits = class_logits(outputs, head, thresholds).numpy()[None]
        probabilities = fit_calibration(logits, labels).probabilities(logits)
        return {"balanced_accuracy": expected_scores(prior_corrected(1.0, shares), probabilities)["balanced_accuracy"]}

    return score
