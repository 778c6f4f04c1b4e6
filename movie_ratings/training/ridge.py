"""Fitting the linear part: ridge regression of the rating, its regularisation chosen on the validation split."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.preprocessing import normalize

from movie_ratings.core.arrays import Floats, Ints
from movie_ratings.core.errors import UserError
from movie_ratings.model.decision import facts_known
from movie_ratings.model.linear import LinearModel, LinearPart, credited, indicators, logistic_scale, words
from movie_ratings.model.track_records import years_of
from movie_ratings.movies.labels import Thresholds
from movie_ratings.movies.rows import Movies, evenly_spaced
from movie_ratings.movies.text import PLOT, facts_among
from movie_ratings.params import Linear
from movie_ratings.training.records import as_of, fit_records, of_rows, siblings

# The TF-IDF values of a movie are divided by their length, an indicator is 1. This factor makes up for a part of that.
WORD_SCALE: Final = 1.5
# The same for the names of a movie, whose block is divided by its sum, and for the track records: the larger the
# factor, the less the penalty on large weights holds a part back. Chosen in the trials of docs/experiments.md.
NAME_SCALE: Final = 9.0
RECORD_SCALE: Final = 3.0
# How scikit-learn says that a vocabulary is empty: no term at all, none in enough movies, fewer movies than enough.
NO_TERMS: Final = ("empty vocabulary", "no terms remain", "max_df corresponds to < documents")


@dataclass(frozen=True)
class Rated:
    """Movies with their ratings and their weights in the fit, both of shape (movies,).

    ``records`` (movies, features) has the track records of their people (`model.track_records.FEATURES`).
    """

    movies: Movies
    ratings: Floats
    weights: Floats
    records: Floats | None = None

    def take(self, rows: Ints) -> "Rated":
        """The movies with these row numbers."""
        records = None if self.records is None else self.records[rows]
        return Rated(self.movies.take(rows), self.ratings[rows], self.weights[rows], records)


@dataclass(frozen=True)
class Reads:
    """What a linear model reads: the words and indicators of ``fields``, and the names of ``names`` as one block."""

    fields: tuple[str, ...]
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class LinearData:
    """What the linear part is fitted on.

    ``dropped`` holds the training movies once more with facts left out (`data.drop_fields`), or no movie.
    ``outside`` holds the films of other tables (`movies.record.OUTSIDE`) that count in track records.
    """

    train: Rated
    dropped: Movies
    validation: Rated
    outside: pa.Table
    thresholds: Thresholds


def fit_part(data: LinearData, reads: Reads, options: Linear) -> tuple[LinearPart, dict[str, float]]:
    """Fit both models of the linear part; return them and the regularisation strength of each.

    The first model is fitted on the training movies and on those of ``data.dropped`` that keep at least half of their
    facts, the second one on title, genres and summary of the training movies. At most ``options.max_rows`` movies of
    each split are read, evenly spaced.
    """
    train, dropped, validation = data.train, data.dropped, data.validation
    table = train.movies.table
    records = fit_records(table, train.ratings, data.outside, options.max_films) if options.records else None
    rows = np.arange(len(train.movies))
    if len(rows) > options.max_rows:
        rows = evenly_spaced(len(rows), options.max_rows)
        train, dropped = train.take(rows), dropped.take(rows) if dropped else dropped
    if len(validation.movies) > options.max_rows:
        validation = validation.take(evenly_spaced(len(validation.movies), options.max_rows))
    kept = np.flatnonzero(facts_known(dropped, reads.fields))
    known = Rated(
        train.movies + dropped.take(kept),
        np.append(train.ratings, train.ratings[kept]),
        np.append(train.weights, train.weights[kept]),
    )
    if records is not None:
        asked = np.append(rows, rows[kept])
        withheld = of_rows(siblings(table, data.train.ratings), asked)
        known = replace(known, records=records.features(known.movies, as_of(table)[asked], withheld))
        found = records.features(validation.movies, years_of(validation.movies))
        validation = replace(validation, records=found)
    whole, alpha = fit_linear(known, validation, reads, data.thresholds, options)
    if not facts_among(reads.fields):
        return LinearPart(whole, whole, records), {"facts": alpha, "plot": alpha}
    plot = Reads(tuple(field for field in reads.fields if field in PLOT))
    bare, bare_alpha = fit_linear(
        replace(train, records=None), replace(validation, records=None), plot, data.thresholds, options
    )
    return LinearPart(whole, bare, records), {"facts": alpha, "plot": bare_alpha}


def fit_linear(
    train: Rated, validation: Rated, reads: Reads, thresholds: Thresholds, options: Linear
) -> tuple[LinearModel, float]:
    """Fit one linear model on ``train``; return it and its regularisation strength.

    A word, an indicator or a name of fewer than ``options.min_movies`` training movies gets no weight. The strength is
    the one of ``options.alphas`` with the least squared error on ``validation``. A model without words, or without
    indicators, is fitted on the others alone: a table may have no genres, or be written in a script without spaces.

    Raises:
        UserError: neither a word nor an indicator occurs in as many movies.
    """
    least = options.min_movies
    tfidf = TfidfVectorizer(analyzer=lambda movie: words(movie, reads.fields), sublinear_tf=True, min_df=least)
    flags = CountVectorizer(analyzer=lambda movie: indicators(movie, reads.fields), binary=True, min_df=least)
    # Divided by their sum, the names of a movie say who made it, and not how many of the makers are listed: a long list
    # shows that people cared about a film, which is known only after its release. Divided by the root of the sum of
    # squares, n names of equal weight would still count √n times as much as one.
    block = CountVectorizer(analyzer=lambda movie: credited(movie, reads.names), binary=True, min_df=least)
    parts = [Part(tfidf, WORD_SCALE), Part(flags, 1.0), Part(block, NAME_SCALE, of_unit_length=True)]
    tables = [(part, table) for part in parts if (table := part.fit(train.movies)) is not None]
    if not tables or tables[0][0].vectorizer is block:
        raise UserError(
            f"linear.use: no word and no fact ({', '.join(reads.fields)}) occurs in {least} training movies "
            "(linear.min_movies); set it to false"
        )
    table = sparse.hstack([*(found for _, found in tables), *_scaled(train.records)]).tocsr()
    held = sparse.hstack([*(part.of(validation.movies) for part, _ in tables), *_scaled(validation.records)]).tocsr()
    fits = []
    for alpha in options.alphas:
        ridge = Ridge(alpha=alpha).fit(table, train.ratings, sample_weight=train.weights)
        fits.append((float(np.mean((ridge.predict(held) - validation.ratings) ** 2)), alpha, ridge))
    error, alpha, ridge = min(fits, key=lambda fit: fit[0])
    ends = np.cumsum([found.shape[1] for _, found in tables])
    *weights, records = np.split(ridge.coef_, ends)
    by_part = {part.vectorizer: part.scale * found for (part, _), found in zip(tables, weights, strict=True)}
    model = LinearModel(
        fields=reads.fields,
        thresholds=thresholds,
        intercept=float(ridge.intercept_),
        scale=logistic_scale(error),
        indicators=_weights(flags, by_part),
        words={word: (float(tfidf.idf_[tfidf.vocabulary_[word]]), w) for word, w in _weights(tfidf, by_part).items()},
        names=reads.names,
        credits=_weights(block, by_part),
        records=tuple(float(weight) for weight in RECORD_SCALE * records),
    )
    return model, alpha


@dataclass(frozen=True)
class Part:
    """A part of the table that a linear model is fitted on: what ``vectorizer`` counts, times ``scale``."""

    vectorizer: CountVectorizer
    scale: float
    of_unit_length: bool = False  # whether each movie's row is divided by its sum

    def fit(self, movies: Movies) -> sparse.csr_matrix | None:
        """Fit the vectorizer; return the part's columns for ``movies``, or None if no term is in enough of them."""
        counts = _counts(self.vectorizer, movies)
        return None if counts is None else self._scaled(counts)

    def of(self, movies: Movies) -> sparse.csr_matrix:
        """The part's columns for other movies."""
        return self._scaled(self.vectorizer.transform(movies))

    def _scaled(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        return self.scale * (normalize(counts.astype(np.float64), norm="l1") if self.of_unit_length else counts)


def _scaled(records: Floats | None) -> list[sparse.csr_matrix]:
    return [] if records is None else [sparse.csr_matrix(RECORD_SCALE * records)]


def _counts(part: CountVectorizer, movies: Movies) -> sparse.csr_matrix | None:
    """The matrix of ``part``, fitted on ``movies``; None if no term occurs in enough of them."""
    try:
        return part.fit_transform(movies)
    except ValueError as error:
        if not any(sign in str(error) for sign in NO_TERMS):
            raise
        return None


def _weights(vectorizer: CountVectorizer, by_part: Mapping[CountVectorizer, Floats]) -> dict[str, float]:
    """The weight of each unscaled term; none for a part without terms."""
    if vectorizer not in by_part:
        return {}
    weights = by_part[vectorizer].tolist()
    return {str(term): weights[column] for term, column in sorted(vectorizer.vocabulary_.items())}
