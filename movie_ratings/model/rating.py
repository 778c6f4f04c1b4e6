"""The rating that class probabilities imply, and the interval around it.

Three class probabilities and the two thresholds between the classes determine a logistic distribution of the rating:
the one whose mass below the low threshold is the probability of bad and whose mass above the high threshold is the
probability of good. The predicted rating is its median. Probabilities and rating therefore come from one joint
distribution: the rating lies below the low threshold exactly where bad is more probable than not.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from movie_ratings.core.arrays import Floats
from movie_ratings.movies.labels import Thresholds

LOWEST, HIGHEST = 0.0, 10.0  # ratings
COVERAGE: Final = 0.8  # share of the movies whose rating lies in their interval
TINY: Final = 1e-6  # of a probability: the logarithm of its odds stays finite


@dataclass(frozen=True)
class Interval:
    """The distance of the interval's ends from a predicted rating, in rating points; ``low`` is mostly below 0."""

    low: float
    high: float

    def around(self, ratings: Floats) -> Floats:
        """The ends (movies, 2) of the intervals around predicted ratings (movies,), within the scale of ratings."""
        return np.clip(np.stack([ratings + self.low, ratings + self.high], axis=1), LOWEST, HIGHEST)


def implied_ratings(probabilities: Floats, thresholds: Thresholds) -> Floats:
    """The predicted rating (movies,), 0 to 10, of class probabilities (movies, classes), worst class first.

    It is the median of a logistic distribution: the cumulative link model of `model.linear.rating_logits`, solved for
    its location and scale, of which the model fixes neither in advance.
    """
    bad, _, good = np.clip(probabilities, TINY, 1.0).T
    # The odds of average are at least TINY too, so that the distance below is above 0.
    average = np.maximum(1.0 - bad - good, TINY)
    below, above = np.log(bad / (average + good)), np.log(good / (average + bad))
    scale = (thresholds.high - thresholds.low) / -(below + above)
    return np.clip(thresholds.low - scale * below, LOWEST, HIGHEST)


def fit_interval(ratings: Floats, predicted: Floats, coverage: float = COVERAGE) -> Interval:
    """The interval that holds the true rating of a new movie with probability ``coverage``.

    ``ratings`` and ``predicted`` are the true and the predicted ratings (movies,) of movies on which the model was not
    trained. Half of the misses are to lie below the interval and half above: each end is a quantile of the residuals,
    raised for the finite number of movies. Source: split-conformal prediction, Lei et al., "Distribution-Free
    Predictive Inference for Regression", JASA 2018, with signed residuals after Linusson, Johansson and Löfström,
    "Signed-Error Conformal Regression", PAKDD 2014.
    """
    residuals = np.sort(ratings - predicted)
    count = len(residuals)
    miss = (1.0 - coverage) / 2
    rank = min(int(np.ceil((count + 1) * (1.0 - miss))), count)  # from 1; of few movies: the largest residual
    return Interval(float(residuals[count - rank]), float(residuals[rank - 1]))
