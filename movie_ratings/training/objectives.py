"""Training objectives: the loss of a batch, and the class logits that outputs trained with it amount to."""

import math
from typing import Any, Final

import torch
from torch import nn
from torch.nn import functional

from movie_ratings.model.head import Head
from movie_ratings.movies.labels import Thresholds

RATING_SHARE: Final = 0.5  # of multi_task's loss, beside the classes' 1
SPREAD: Final = 0.45  # scale of the logistic distribution around a regressed rating, in standard deviations


class RatingLoss(nn.Module):
    """Loss of outputs (rows, outputs) against labels (rows, 2): the rating, 0 to 10, and the row's weight.

    ``cross_entropy`` against the classes. With ``spread`` above 0, the rating is read as a normal distribution of that
    standard deviation around itself, and the target is how much of it falls into each class: a film a hair below a
    threshold says nearly as much about the class above. These are soft labels for ordered classes, after Díaz and
    Marathe, "Soft Labels for Ordinal Regression", CVPR 2019. ``class_weights`` (classes,) multiply each class's share.

    ``focal`` is that with easy rows down-weighted by ``gamma`` (Lin et al., "Focal Loss for Dense Object Detection",
    ICCV 2017). ``ordinal`` is CORN (Shi, Cao and Raschka, "Deep Neural Networks for Rank-Consistent Ordinal Regression
    Based On Conditional Probabilities", Pattern Analysis and Applications 2023): is it better than bad, and if so, is
    it better than average? ``regression`` is the squared error of the rating in standard deviations. ``multi_task``
    adds half of that to the cross-entropy (Caruana, "Multitask Learning", Machine Learning 1997).
    """

    def __init__(
        self, head: Head, thresholds: Thresholds, spread: float, gamma: float, class_weights: torch.Tensor
    ) -> None:
        super().__init__()
        self.head, self.thresholds, self.spread, self.gamma = head, thresholds, spread, gamma
        self.register_buffer("class_weights", class_weights)
        self.class_weights: torch.Tensor

    def targets(self, ratings: torch.Tensor) -> torch.Tensor:
        """The share of each class in each rating, shape (rows, classes); rows add up to 1."""
        low, high = self.thresholds.low, self.thresholds.high
        if self.spread == 0:
            below, above = (ratings < low).float(), (ratings > high).float()
        else:
            below, above = self._tail(low - ratings), self._tail(ratings - high)
        return torch.stack([below, 1 - below - above, above], dim=1)

    def forward(
        self, outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """The mean over the rows of all accumulated batches, of which ``num_items_in_batch`` counts the labels."""
        found = outputs["logits"].float()
        # In double precision ratings compare with the thresholds exactly as they did when they were labelled.
        ratings, weights = labels.double().unbind(dim=1)
        rows = len(labels) if num_items_in_batch is None else num_items_in_batch / labels.shape[1]
        return (weights.to(found.dtype) * self._losses(found, ratings)).sum() / rows

    def _losses(self, found: torch.Tensor, ratings: torch.Tensor) -> torch.Tensor:
        match self.head.objective:
            case "ordinal":
                better = torch.stack([ratings >= self.thresholds.low, ratings > self.thresholds.high], dim=1)
                losses = functional.binary_cross_entropy_with_logits(found, better.to(found.dtype), reduction="none")
                return losses[:, 0] + better[:, 0] * losses[:, 1]
            case "regression":
                return self._squared(found[:, 0], ratings)
            case "multi_task":
                return self._classes(found[:, :3], ratings) + RATING_SHARE * self._squared(found[:, 3], ratings)
            case _:
                return self._classes(found, ratings)

    def _classes(self, logits: torch.Tensor, ratings: torch.Tensor) -> torch.Tensor:
        log_probabilities = logits.log_softmax(dim=1)
        easiness = (1 - log_probabilities.exp()) ** self.gamma if self.head.objective == "focal" else 1.0
        targets = self.targets(ratings).to(logits.dtype) * self.class_weights.to(logits.device)
        return -(targets * easiness * log_probabilities).sum(dim=1)

    def _squared(self, found: torch.Tensor, ratings: torch.Tensor) -> torch.Tensor:
        return (found - ((ratings - self.head.mean) / self.head.std).to(found.dtype)) ** 2

    def _tail(self, distance: torch.Tensor) -> torch.Tensor:
        """The standard normal's share below ``distance`` / spread."""
        return 0.5 * (1 + torch.erf(distance / (self.spread * math.sqrt(2))))


def class_logits(outputs: torch.Tensor, head: Head, thresholds: Thresholds) -> torch.Tensor:
    """Log-probabilities of the classes up to a constant, shape (rows, classes), of outputs (rows, outputs)."""
    match head.objective:
        case "ordinal":
            yes, no = functional.logsigmoid(outputs), functional.logsigmoid(-outputs)
            return torch.stack([no[:, 0], yes[:, 0] + no[:, 1], yes[:, 0] + yes[:, 1]], dim=1)
        case "regression":
            low, high = ((t - head.mean) / head.std for t in (thresholds.low, thresholds.high))
            below = torch.sigmoid((low - outputs[:, 0]) / SPREAD)
            above = torch.sigmoid((outputs[:, 0] - high) / SPREAD)
            return torch.stack([below, 1 - below - above, above], dim=1).clamp_min(1e-6).log()
        case "multi_task":
            return outputs[:, :3]
        case _:
            return outputs
