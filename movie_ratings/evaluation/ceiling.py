"""The noise ceiling: the score of a predictor that knows each movie's true rating.

A movie's rating is the mean of finitely many votes, so its label can differ from the class of its true rating. No model
can predict that difference.
"""

from typing import Any, Final

import numpy as np

from movie_ratings.core.arrays import Floats, Ints
from movie_ratings.evaluation.metrics import class_scores
from movie_ratings.movies.labels import Thresholds, class_indices

DRAWS: Final = 200


def noise_ceiling(ratings: Floats, votes: Floats, thresholds: Thresholds, seed: int) -> dict[str, Any]:
    """Estimate balanced accuracy and macro-F1 of an oracle that predicts the class of each movie's true rating.

    ``ratings`` (0 to 10) and ``votes`` (numbers of votes) have shape (movies,). A rating that is the mean of n votes
    deviates from the true rating with variance v / n. The function estimates v and the variance of the true ratings by
    regressing squared distances from the mean rating on 1 / n. Source of this method of moments: DerSimonian and Laird,
    "Meta-analysis in clinical trials", Controlled Clinical Trials 1986. It then draws a true rating for each movie from
    its distribution given the votes, 200 times, and scores the classes of these ratings against the labels.

    ``vote_variance`` in the result is v. Every value is None where fewer than 100 movies have votes, or all have
    equally many: the variance cannot be estimated then.
    """
    counted = votes > 0
    if counted.sum() < 100 or np.ptp(votes[counted]) == 0:
        return {"balanced_accuracy": None, "macro_f1": None, "vote_variance": None}
    ratings, votes = ratings[counted], votes[counted]
    mean = float(ratings.mean())
    squared = (ratings - mean) ** 2
    slope, between = np.polyfit(1 / votes, squared, 1, w=np.sqrt(votes / (votes + votes.mean())))
    # Votes lie between 0 and 10, so their variance lies between 0 and 25.
    vote_variance, between = float(np.clip(slope, 0.0, 25.0)), max(float(between), 1e-6)
    noise = vote_variance / votes
    trust = between / (between + noise)
    generator = np.random.default_rng(seed)
    labels: Ints = class_indices(ratings, thresholds)
    drawn = []
    for _ in range(DRAWS):
        true = mean + trust * (ratings - mean) + np.sqrt(trust * noise) * generator.standard_normal(len(ratings))
        drawn.append(class_scores(labels, class_indices(true, thresholds)))
    figures = {name: float(np.mean([draw[name] for draw in drawn])) for name in ("balanced_accuracy", "macro_f1")}
    return figures | {"vote_variance": vote_variance}
