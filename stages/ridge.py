"""Fitting the linear part of a model: ridge regression of the rating, its strength chosen on the validation split."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import Ridge

from stages.decision import Floats
from stages.labels import Thresholds
from stages.linear import LinearModel, facts, words

# Of the TF-IDF values beside the facts' ones: a plot has a hundred words and is one movie.
WORD_SCALE: Final = 1.5


def fit_linear(
    train: Sequence[Mapping[str, Any]],
    ratings: Floats,
    weights: Floats,
    validation: Sequence[Mapping[str, Any]],
    validation_ratings: Floats,
    *,
    fields: Sequence[str],
    thresholds: Thresholds,
    alphas: Sequence[float],
    min_movies: int,
) -> tuple[LinearModel, float]:
    """Fit on ``train`` with its ``ratings`` and row ``weights``; return the model and the strength that was chosen.

    A word or a fact of fewer than ``min_movies`` training movies gets no weight. The strength out of ``alphas`` is the
    one with the least squared error on ``validation``.
    """
    tfidf = TfidfVectorizer(analyzer=lambda movie: words(movie, fields), sublinear_tf=True, min_df=min_movies)
    counts = CountVectorizer(analyzer=lambda movie: facts(movie, fields), binary=True, min_df=min_movies)
    parts = [(tfidf, WORD_SCALE)] if {"title", "summary"} & set(fields) else []
    parts += [(counts, 1.0)] if set(fields) - {"title", "summary"} else []
    table = sparse.hstack([scale * part.fit_transform(train) for part, scale in parts]).tocsr()
    held = sparse.hstack([scale * part.transform(validation) for part, scale in parts]).tocsr()
    fits = []
    for alpha in alphas:
        ridge = Ridge(alpha=alpha).fit(table, ratings, sample_weight=weights)
        fits.append((float(np.mean((ridge.predict(held) - validation_ratings) ** 2)), alpha, ridge))
    error, alpha, ridge = min(fits, key=lambda fit: fit[0])
    coefficients = ridge.coef_.tolist()
    split = len(tfidf.vocabulary_) if (tfidf, WORD_SCALE) in parts else 0
    return (
        LinearModel(
            fields=tuple(fields),
            thresholds=thresholds,
            intercept=float(ridge.intercept_),
            # A logistic distribution of scale s has a standard deviation of s times pi over the root of 3.
            spread=float(np.sqrt(3 * error) / np.pi),
            facts={str(name): coefficients[split + place] for name, place in sorted(counts.vocabulary_.items())}
            if len(coefficients) > split
            else {},
            words={
                str(word): (float(tfidf.idf_[place]), WORD_SCALE * coefficients[place])
                for word, place in sorted(tfidf.vocabulary_.items())
            }
            if split
            else {},
        ),
        alpha,
    )
