"""The most confident wrong predictions, each beside the training movie whose text is most similar."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from movie_ratings.model.answers import Answers
from movie_ratings.movies.labels import CLASSES
from movie_ratings.movies.text import compose

SHOWN: Final = 30

Movies = Sequence[dict[str, Any]]


def confident_mistakes(train: Movies, movies: Movies, answers: Answers, fields: Sequence[str]) -> dict[str, Any]:
    """Return the 30 wrong predictions with the highest probability, the highest first, and how many there are.

    ``answers`` are the predictions for ``movies``. Similarity is the cosine of the TF-IDF vectors of the texts that
    ``fields`` give.
    """
    predicted, probabilities = answers.predicted, answers.probabilities
    wrong = np.flatnonzero(predicted != answers.labels)
    worst = wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")][:SHOWN]
    nearest = _nearest([compose(movie, fields) for movie in train], [compose(movies[row], fields) for row in worst])
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


def _nearest(train: Sequence[str], texts: Sequence[str]) -> list[int]:
    """For each of ``texts`` the position of the most similar text of ``train``."""
    if not texts:
        return []
    vectorizer = TfidfVectorizer(sublinear_tf=True, stop_words="english")
    known = vectorizer.fit_transform(train)
    similarities = vectorizer.transform(texts) @ known.T
    positions: list[int] = similarities.toarray().argmax(axis=1).tolist()
    return positions
