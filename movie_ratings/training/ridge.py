"""Fitting the linear part of a model: ridge regression of the rating, its strength chosen on the validation split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import Ridge

from movie_ratings.core.arrays import Floats, Ints
from movie_ratings.model.decision import facts_known
from movie_ratings.model.linear import LinearModel, LinearPart, facts, logistic_scale, words
from movie_ratings.movies.labels import Thresholds
from movie_ratings.movies.rows import Movies, evenly_spaced
from movie_ratings.movies.text import PLOT, facts_among
from movie_ratings.params import Linear

# Of the TF-IDF values beside the facts' ones: a plot has a hundred words and is one movie.
WORD_SCALE: Final = 1.5


@dataclass(frozen=True)
class Rated:
    """Movies with their ratings and the weights that they are learnt from with, both of shape (movies,)."""

    movies: Movies
    ratings: Floats
    weights: Floats

    def take(self, rows: Ints) -> "Rated":
        """These movies alone."""
        return Rated(self.movies.take(rows), self.ratings[rows], self.weights[rows])


def fit_part(
    train: Rated, dropped: Movies, validation: Rated, fields: Sequence[str], thresholds: Thresholds, options: Linear
) -> tuple[LinearPart, dict[str, float]]:
    """Fit both models of the linear part; return it and the strength that was chosen for each.

    ``dropped`` are the training movies once more with facts left out (`dataset.drop_fields`), or none: those of
    which enough is left belong to what the first model must answer. Of each split no more than ``options.max_rows``
    movies are looked at.
    """
    if len(train.movies) > options.max_rows:
        rows = evenly_spaced(len(train.movies), options.max_rows)
        train, dropped = train.take(rows), dropped.take(rows) if dropped else dropped
    if len(validation.movies) > options.max_rows:
        validation = validation.take(evenly_spaced(len(validation.movies), options.max_rows))
    kept = np.flatnonzero(facts_known(dropped, fields))
    known = Rated(
        train.movies + dropped.take(kept),
        np.append(train.ratings, train.ratings[kept]),
        np.append(train.weights, train.weights[kept]),
    )
    whole, alpha = fit_linear(known, validation, fields, thresholds, options)
    if not facts_among(fields):
        return LinearPart(whole, whole), {"facts": alpha, "plot": alpha}
    plot = [field for field in fields if field in PLOT]
    bare, bare_alpha = fit_linear(train, validation, plot, thresholds, options)
    return LinearPart(whole, bare), {"facts": alpha, "plot": bare_alpha}


def fit_linear(
    train: Rated, validation: Rated, fields: Sequence[str], thresholds: Thresholds, options: Linear
) -> tuple[LinearModel, float]:
    """Fit on ``train``; return the model and the strength that was chosen.

    A word or a fact of fewer than ``options.min_movies`` training movies gets no weight. The strength out of
    ``options.alphas`` is the one with the least squared error on ``validation``.
    """
    tfidf = TfidfVectorizer(analyzer=lambda movie: words(movie, fields), sublinear_tf=True, min_df=options.min_movies)
    counts = CountVectorizer(analyzer=lambda movie: facts(movie, fields), binary=True, min_df=options.min_movies)
    parts = [(tfidf, WORD_SCALE)] if {"title", "summary"} & set(fields) else []
    parts += [(counts, 1.0)] if set(fields) - {"title", "summary"} else []
    table = sparse.hstack([scale * part.fit_transform(train.movies) for part, scale in parts]).tocsr()
    held = sparse.hstack([scale * part.transform(validation.movies) for part, scale in parts]).tocsr()
    fits = []
    for alpha in options.alphas:
        ridge = Ridge(alpha=alpha).fit(table, train.ratings, sample_weight=train.weights)
        fits.append((float(np.mean((ridge.predict(held) - validation.ratings) ** 2)), alpha, ridge))
    error, alpha, ridge = min(fits, key=lambda fit: fit[0])
    coefficients = ridge.coef_.tolist()
    split = len(tfidf.vocabulary_) if (tfidf, WORD_SCALE) in parts else 0
    return (
        LinearModel(
            fields=tuple(fields),
            thresholds=thresholds,
            intercept=float(ridge.intercept_),
            spread=logistic_scale(error),
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
