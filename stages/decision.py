"""From logits to probabilities that mean what they say, and from probabilities to one class.

This module only applies; `stages.calibration` fits both on the validation split, and the checkpoint stores them.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Calibration:
    """Bias-corrected temperature scaling: softmax(logits / temperature + bias).

    The bias undoes what a class-weighted loss does to the class shares, which a temperature alone cannot. Source:
    Alexandari, Kundaje and Shrikumar, "Maximum Likelihood with Bias-Corrected Calibration is Hard-To-Beat at Label
    Shift Adaptation", ICML 2020.
    """

    temperature: float
    bias: tuple[float, ...]

    def probabilities(self, logits: Floats) -> Floats:
        """Calibrated probabilities, shape (rows, classes), of logits of the same shape."""
        scores = logits / self.temperature + np.array(self.bias)
        exponents = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities: Floats = exponents / exponents.sum(axis=1, keepdims=True)
        return probabilities


@dataclass(frozen=True)
class Decision:
    """Which class to answer: the largest log-probability after ``offsets`` are added, one for each class.

    ``argmax`` has offsets of zero. ``prior_corrected`` subtracts ``strength`` times the log of the class's share in
    training (logit adjustment; Menon et al., "Long-tail learning via logit adjustment", ICLR 2021): at strength 1 it
    is the best rule for balanced accuracy, at 0 for accuracy, and macro-F1 is best in between.
    """

    rule: Literal["argmax", "prior_corrected"]
    strength: float
    offsets: tuple[float, ...]

    def classes(self, probabilities: Floats) -> Ints:
        """Class indices, shape (rows,), of probabilities of shape (rows, classes)."""
        scores: Floats = np.log(np.maximum(probabilities, 1e-12)) + np.array(self.offsets)
        return scores.argmax(axis=1)
