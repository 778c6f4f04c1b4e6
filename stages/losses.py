"""The training loss: cross-entropy, focal or not, against the classes that a rating may have meant."""

import math
from typing import Any

import torch
from torch import nn

from stages.labels import Thresholds


class RatingLoss(nn.Module):
    """Loss of logits (rows, classes) against ratings (rows,), 0 to 10.

    With ``spread`` 0 the target is the rating's class. With more, the rating is read as a normal distribution of that
    standard deviation around itself, and the target is how much of it falls into each class: a film a hair below a
    threshold says nearly as much about the class above. This is a soft label for ordered classes, after Díaz and
    Marathe, "Soft Labels for Ordinal Regression", CVPR 2019.

    ``gamma`` above 0 makes it the focal loss of Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017.
    ``weights`` (classes,) multiply each class's share of the loss.
    """

    def __init__(self, thresholds: Thresholds, spread: float, gamma: float, weights: torch.Tensor):
        super().__init__()
        self.thresholds, self.spread, self.gamma = thresholds, spread, gamma
        self.register_buffer("weights", weights)
        self.weights: torch.Tensor

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
        """The mean over ``num_items_in_batch`` rows: those of all accumulated batches, not of this one alone."""
        log_probabilities = outputs["logits"].float().log_softmax(dim=1)
        easiness = (1 - log_probabilities.exp()) ** self.gamma if self.gamma else 1.0
        # In double precision ratings compare with the thresholds exactly as they did when they were labelled.
        targets = self.targets(labels.double()).to(log_probabilities.dtype)
        total = -(targets * self.weights.to(targets.device) * easiness * log_probabilities).sum()
        return total / (len(labels) if num_items_in_batch is None else num_items_in_batch)

    def _tail(self, distance: torch.Tensor) -> torch.Tensor:
        """The standard normal's share below ``distance`` / spread."""
        return 0.5 * (1 + torch.erf(distance / (self.spread * math.sqrt(2))))
