"""The most confident wrong predictions, each beside the training movie that resembles it most."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from movie_ratings.model.answers import Answers
from movie_ratings.model.comparables import Comparables
from movie_ratings.movies.labels import CLASSES

SHOWN: Final = 30

Movies = Sequence[dict[str, Any]]


def confident_mistakes(train: Movies, movies: Movies, answers: Answers) -> dict[str, Any]:
    """Return the 30 wrong predictions with the highest probability, the highest first, and how many there are.

    ``answers`` are the predictions for ``movies``. Similarity is that of `model.comparables`.
    """
    predicted, probabilities = answers.predicted, answers.probabilities
    wrong = np.flatnonzero(predicted != answers.labels)
    worst = wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")][:SHOWN]
    films = Comparables.of(train)
    nearest = [films.nearest(movies[row], 1)[0][0] for row in worst.tolist()]
    return {
        "wrong": len(wrong),
        "of": len(movies),
        "shown": [
            {name: movies[row][name] for name in ("title", "genres", "summary", "rating", "label")}
            | {"answer": CLASSES[predicted[row]], "probability": float(probabilities[row, predicted[row]])}
            | {"nearest": {name: train[near][name] for name in ("title", "genres", "rating", "label")}}
            for row, near in zip(worst.tolist(), nearest, strict=True)
        ],
    }
