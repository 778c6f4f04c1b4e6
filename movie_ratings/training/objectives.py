"""Training objectives: the loss of a batch, and the class logits of outputs that were trained with this loss."""

import math
from typing import Any, Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from movie_ratings.core.arrays import Floats
from movie_ratings.model.head import Head
from movie_ratings.movies.labels import CLASSES, Thresholds, class_shares
from movie_ratings.params import Train

RATING_WEIGHT: Final = 0.5  # multi_task: the weight of the rating's loss; the classes' loss has weight 1
SCALE: Final = 0.45  # regression: scale of the logistic distribution around the output, in standard deviations


class RatingLoss(nn.Module):
    """Loss of outputs (movies, outputs) against labels (movies, 2): the rating, 0 to 10, and the movie's weight.

    ``cross_entropy``: cross-entropy of the classes. With ``sigma`` 0, the target is the movie's class. With ``sigma``
    above 0, the target is a share of each class: the probability mass that a normal distribution around the rating,
    with standard deviation ``sigma`` in rating points, has in the class. A movie with a rating just below a threshold
    then counts about half for each of the two classes. Source: Díaz and Marathe, "Soft Labels for Ordinal Regression",
    CVPR 2019. ``class_weights`` (classes,) multiply the share of each class.

    ``focal``: the same, where ``gamma`` lowers the weight of movies that the model already predicts well. Source: Lin
    et al., "Focal Loss for Dense Object Detection", ICCV 2017.

    ``ordinal``: CORN. The first output predicts whether the movie is better than bad, the second output whether a movie
    that is better than bad is also better than average. Source: Shi, Cao and Raschka, "Deep Neural Networks for
    Rank-Consistent Ordinal Regression Based On Conditional Probabilities", Pattern Analysis and Applications 2023.

    ``regression``: squared error of the rating, in standard deviations of the training ratings.

    ``multi_task``: the cross-entropy plus half of the squared error. Source: Caruana, "Multitask Learning", Machine
    Learning 1997.
    """

    def __init__(
        self, head: Head, thresholds: Thresholds, sigma: float, gamma: float, class_weights: torch.Tensor
    ) -> None:
        super().__init__()
        self.head, self.thresholds, self.sigma, self.gamma = head, thresholds, sigma, gamma
        self.register_buffer("class_weights", class_weights)
        self.class_weights: torch.Tensor

    @classmethod
    def of(cls, options: Train, head: Head, thresholds: Thresholds, ratings: Floats) -> "RatingLoss":
        """The loss for these parameters; ``ratings`` are those of the training split (movies,).

        Raises:
            UserError: the classes are to be balanced, and a class has no training movie.
        """
        weights = np.ones(len(CLASSES))
        if options.class_weights == "balanced":
            weights = 1 / (len(CLASSES) * class_shares(ratings, thresholds))
        sigma = options.soft_labels * head.std
        return cls(head, thresholds, sigma, options.focal_gamma, torch.tensor(weights, dtype=torch.float32))

    def targets(self, ratings: torch.Tensor) -> torch.Tensor:
        """The target's share of each class, shape (movies, classes); the shares of a movie add up to 1."""
        low, high = self.thresholds.low, self.thresholds.high
        if self.sigma == 0:
            below, above = (ratings < low).float(), (ratings > high).float()
        else:
            below, above = self._tail(low - ratings), self._tail(ratings - high)
        return torch.stack([below, 1 - below - above, above], dim=1)

    def forward(
        self, outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """The weighted loss of a batch (a scalar), divided by the number of movies behind one optimizer step.

        ``outputs["logits"]`` is (movies, outputs). ``num_items_in_batch`` is the Trainer's count of the numbers in the
        labels of all accumulated batches: two numbers for each movie. None: the batch is alone.
        """
        found = outputs["logits"].float()
        # In double precision, as in `labels.class_indices`: a rating at a threshold must fall into the same class.
        ratings, weights = labels.double().unbind(dim=1)
        movies = len(labels) if num_items_in_batch is None else num_items_in_batch / labels.shape[1]
        return (weights.to(found.dtype) * self._losses(found, ratings)).sum() / movies

    def _losses(self, found: torch.Tensor, ratings: torch.Tensor) -> torch.Tensor:
        match self.head.objective:
            case "ordinal":
                better = torch.stack([ratings >= self.thresholds.low, ratings > self.thresholds.high], dim=1)
                losses = functional.binary_cross_entropy_with_logits(found, better.to(found.dtype), reduction="none")
                return losses[:, 0] + better[:, 0] * losses[:, 1]
            case "regression":
                return self._squared(found[:, 0], ratings)
            case "multi_task":
                return self._classes(found[:, :3], ratings) + RATING_WEIGHT * self._squared(found[:, 3], ratings)
            case _:
                return self._classes(found, ratings)

    def _classes(self, logits: torch.Tensor, ratings: torch.Tensor) -> torch.Tensor:
        log_probabilities = logits.log_softmax(dim=1)
        focus = (1 - log_probabilities.exp()) ** self.gamma if self.head.objective == "focal" else 1.0
        targets = self.targets(ratings).to(logits.dtype) * self.class_weights.to(logits.device)
        return -(targets * focus * log_probabilities).sum(dim=1)

    def _squared(self, found: torch.Tensor, ratings: torch.Tensor) -> torch.Tensor:
        return (found - ((ratings - self.head.mean) / self.head.std).to(found.dtype)) ** 2

    def _tail(self, distance: torch.Tensor) -> torch.Tensor:
        """The cumulative distribution function of a normal distribution with mean 0 and standard deviation sigma."""
        return 0.5 * (1 + torch.erf(distance / (self.sigma * math.sqrt(2))))


def class_logits(outputs: torch.Tensor, head: Head, thresholds: Thresholds) -> torch.Tensor:
    """Class logits (movies, classes) of outputs (movies, outputs): log-probabilities up to a constant per movie.

    The class logits of ``regression`` are those that `model.linear.rating_logits` computes with numpy, with the scale
    `SCALE`. Here the computation is in logarithms: the outputs are float32, in which the difference of two
    probabilities near 1 is a rounding error.
    """
    match head.objective:
        case "ordinal":
            yes, no = functional.logsigmoid(outputs), functional.logsigmoid(-outputs)
            return torch.stack([no[:, 0], yes[:, 0] + no[:, 1], yes[:, 0] + yes[:, 1]], dim=1)
        case "regression":
            low, high = ((t - head.mean) / head.std for t in (thresholds.low, thresholds.high))
            to_low, to_high = (low - outputs[:, 0]) / SCALE, (high - outputs[:, 0]) / SCALE
            # sigmoid(b) - sigmoid(a) = sigmoid(b) * sigmoid(-a) * (1 - exp(a - b)), where b - a does not vary.
            between = math.log1p(-math.exp(-(high - low) / SCALE))
            average = functional.logsigmoid(to_high) + functional.logsigmoid(-to_low) + between
            return torch.stack([functional.logsigmoid(to_low), average, functional.logsigmoid(-to_high)], dim=1)
        case "multi_task":
            return outputs[:, :3]
        case _:
            return outputs
