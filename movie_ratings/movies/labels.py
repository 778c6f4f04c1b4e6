"""The classes in their order, the two thresholds between them, and the class of a rating."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from movie_ratings.core.errors import UserError

# From worst to best. This order is the order of logits, probabilities and confusion matrices everywhere.
CLASSES: Final = ("bad", "average", "good")


@dataclass(frozen=True)
class Thresholds:
    """A rating below ``low`` is bad, a rating above ``high`` is good, and all others are average."""

    low: float
    high: float


class Scheme(Protocol):
    """The group `labels` of params.yaml: how the two thresholds are fitted."""

    @property
    def scheme(self) -> Literal["mean_std", "quantile", "fixed"]:
        """The rule."""
        ...

    @property
    def std(self) -> float:
        """``mean_std``: the distance of both thresholds from the mean, in standard deviations."""
        ...

    @property
    def quantiles(self) -> Sequence[float]:
        """``quantile``: the two quantiles of the training ratings, in rising order."""
        ...

    @property
    def fixed(self) -> Sequence[float]:
        """``fixed``: the two ratings, in rising order."""
        ...


def fit_thresholds(ratings: npt.NDArray[np.float64], params: Scheme) -> Thresholds:
    """Fit the thresholds on the ratings (0 to 10) of the training split and of nothing else.

    Raises:
        UserError: there are no ratings to fit on, or they leave no room between the thresholds.
    """
    if len(ratings) == 0:
        raise UserError("labels: the training split has no ratings to fit thresholds on")
    if params.scheme == "mean_std":
        # Exactly rounded sums do not depend on the order of the rows or the number of cores.
        values = ratings.tolist()
        mean, std = fmean(values), pstdev(values)
        thresholds = Thresholds(mean - params.std * std, mean + params.std * std)
    elif params.scheme == "quantile":
        low, high = np.quantile(ratings, params.quantiles)
        thresholds = Thresholds(float(low), float(high))
    else:
        thresholds = Thresholds(*params.fixed)
    if not thresholds.low < thresholds.high:
        raise UserError(f"labels.scheme {params.scheme}: all training ratings are alike ({thresholds.low:g})")
    return thresholds


def class_indices(ratings: npt.NDArray[np.float64], thresholds: Thresholds) -> npt.NDArray[np.int64]:
    """The class of each rating as an index into ``CLASSES``."""
    return (ratings >= thresholds.low).astype(np.int64) + (ratings > thresholds.high)


def label_indices(labels: Iterable[str]) -> npt.NDArray[np.int64]:
    """Class names as indices into ``CLASSES``."""
    return np.array([CLASSES.index(label) for label in labels], dtype=np.int64)


def class_shares(ratings: npt.NDArray[np.float64], thresholds: Thresholds) -> npt.NDArray[np.float64]:
    """The share of each class among the ratings, shape (classes,).

    Raises:
        UserError: a class has no rows.
    """
    shares = label_shares(class_indices(ratings, thresholds))
    for name, share in zip(CLASSES, shares, strict=True):
        if share == 0:
            raise UserError(f"no training movie is labelled {name!r}; fetch more movies or change labels.scheme")
    return shares


def label_shares(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The share of each class among the class indices (rows,), shape (classes,)."""
    return np.bincount(labels, minlength=len(CLASSES)) / len(labels)
