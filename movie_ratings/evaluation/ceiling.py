"""The noise ceiling: how well anybody could do who knew each movie's true rating, the ratings being means of votes."""

from typing import Any, Final

import numpy as np

from movie_ratings.core.arrays import Floats, Ints
from movie_ratings.evaluation.metrics import fast_scores
from movie_ratings.movies.labels import Thresholds, class_indices

DRAWS: Final = 200


def noise_ceiling(ratings: Floats, votes: Floats, thresholds: Thresholds, seed: int) -> dict[str, Any]:
    """Balanced accuracy and macro-F1 of an oracle, estimated from the ratings' own spread.

    A rating that is the mean of n votes lies around the true one with a variance of v / n. v and the variance of true
    ratings are estimated from the data: squared distances from the mean are regressed on 1 / n (the law of total
    variance; a random-effects model fitted by moments, DerSimonian and Laird, Controlled Clinical Trials 1986). A true
    rating is drawn for each movie from what its votes leave open, and the oracle answers its class. Where votes were
    not counted there is nothing to estimate from, and the answer is None.
    """
    counted = votes > 0
    if counted.sum() < 100 or np.ptp(votes[counted]) == 0:
        return {"balanced_accuracy": None, "macro_f1": None, "vote_variance": None}
    ratings, votes = ratings[counted], votes[counted]
    mean = float(ratings.mean())
    squared = (ratings - mean) ** 2
    slope, between = np.polyfit(1 / votes, squared, 1, w=np.sqrt(votes / (votes + votes.mean())))
    # Single votes from 0 to 10 vary by no more than 25; no less than none.
    vote_variance, between = float(np.clip(slope, 0.0, 25.0)), max(float(between), 1e-6)
    noise = vote_variance / votes
    trust = between / (between + noise)
    generator = np.random.default_rng(seed)
    labels: Ints = class_indices(ratings, thresholds)
    drawn = []
    for _ in range(DRAWS):
        true = mean + trust * (ratings - mean) + np.sqrt(trust * noise) * generator.standard_normal(len(ratings))
        drawn.append(fast_scores(labels, class_indices(true, thresholds)))
    figures = {name: float(np.mean([draw[name] for draw in drawn])) for name in ("balanced_accuracy", "macro_f1")}
    return figures | {"vote_variance": vote_variance}
