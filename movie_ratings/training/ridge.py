"""Fitting the linear part: ridge regression of the rating, its regularisation chosen on the validation split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import Ridge

from movie_ratings.core.arrays import Floats, Ints
from movie_ratings.core.errors import UserError
from movie_ratings.model.decision import facts_known
from movie_ratings.model.linear import LinearModel, LinearPart, indicators, logistic_scale, words
from movie_ratings.movies.labels import Thresholds
from movie_ratings.movies.rows import Movies, evenly_spaced
from movie_ratings.movies.text import PLOT, facts_among
from movie_ratings.params import Linear

# The TF-IDF values of a movie are divided by their length, an indicator is 1. This factor makes up for a part of that.
WORD_SCALE: Final = 1.5
# How scikit-learn says that a vocabulary is empty: no term at all, none in enough movies, fewer movies than enough.
NO_TERMS: Final = ("empty vocabulary", "no terms remain", "max_df corresponds to < documents")


@dataclass(frozen=True)
class Rated:
    """Movies with their ratings and their weights in the fit, both of shape (movies,)."""

    movies: Movies
    ratings: Floats
    weights: Floats

    def take(self, rows: Ints) -> "Rated":
        """The movies with these row numbers."""
        return Rated(self.movies.take(rows), self.ratings[rows], self.weights[rows])


def fit_part(
    train: Rated, dropped: Movies, validation: Rated, fields: Sequence[str], thresholds: Thresholds, options: Linear
) -> tuple[LinearPart, dict[str, float]]:
    """Fit both models of the linear part; return them and the regularisation strength of each.

    ``dropped`` holds the training movies once more with facts left out (`dataset.drop_fields`), or no movie. The first
    model is fitted on the training movies and on those of ``dropped`` that keep at least half of their facts, the
    second one on title, genres and summary of the training movies. At most ``options.max_rows`` movies of each split
    are read, evenly spaced.
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
    """Fit one linear model on ``train``; return it and its regularisation strength.

    A word or an indicator of fewer than ``options.min_movies`` training movies gets no weight. The strength is the one
    of ``options.alphas`` with the least squared error on ``validation``. A model without words, or without indicators,
    is fitted on the others alone: a table may have no genres, or be written in a script without spaces.

    Raises:
        UserError: neither a word nor an indicator occurs in as many movies.
    """
    tfidf = TfidfVectorizer(analyzer=lambda movie: words(movie, fields), sublinear_tf=True, min_df=options.min_movies)
    flags = CountVectorizer(analyzer=lambda movie: indicators(movie, fields), binary=True, min_df=options.min_movies)
    parts = [(tfidf, WORD_SCALE), (flags, 1.0)]
    columns = [(part, scale, counts) for part, scale in parts if (counts := _counts(part, train.movies)) is not None]
    if not columns:
        raise UserError(
            f"linear.use: no word and no fact ({', '.join(fields)}) occurs in {options.min_movies} training movies "
            "(linear.min_movies); set it to false"
        )
    table = sparse.hstack([scale * counts for _, scale, counts in columns]).tocsr()
    held = sparse.hstack([scale * part.transform(validation.movies) for part, scale, _ in columns]).tocsr()
    fits = []
    for alpha in options.alphas:
        ridge = Ridge(alpha=alpha).fit(table, train.ratings, sample_weight=train.weights)
        fits.append((float(np.mean((ridge.predict(held) - validation.ratings) ** 2)), alpha, ridge))
    error, alpha, ridge = min(fits, key=lambda fit: fit[0])
    weights, fitted = ridge.coef_.tolist(), [part for part, _, _ in columns]
    model = LinearModel(
        fields=tuple(fields),
        thresholds=thresholds,
        intercept=float(ridge.intercept_),
        scale=logistic_scale(error),
        indicators=_indicator_weights(flags, weights) if flags in fitted else {},
        words=_word_weights(tfidf, weights) if tfidf in fitted else {},
    )
    return model, alpha


def _counts(part: CountVectorizer, movies: Movies) -> sparse.csr_matrix | None:
    """The matrix of ``part``, fitted on ``movies``; None if no term occurs in enough of them."""
    try:
        return part.fit_transform(movies)
    except ValueError as error:
        if not any(sign in str(error) for sign in NO_TERMS):
            raise
        return None


def _indicator_weights(flags: CountVectorizer, weights: list[float]) -> dict[str, float]:
    """The weight of each indicator, by name; the indicators have the last columns."""
    first = len(weights) - len(flags.vocabulary_)
    return {str(name): weights[first + column] for name, column in sorted(flags.vocabulary_.items())}


def _word_weights(tfidf: TfidfVectorizer, weights: list[float]) -> dict[str, tuple[float, float]]:
    """The inverse document frequency of each word and the weight of its unscaled TF-IDF value."""
    return {
        str(word): (float(tfidf.idf_[column]), WORD_SCALE * weights[column])
        for word, column in sorted(tfidf.vocabulary_.items())
    }
