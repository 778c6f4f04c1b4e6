"""Tables that describe the cleaned movies: ratings, genres, languages, votes, text lengths and missing values."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from movie_ratings.core import parquet
from movie_ratings.movies.record import MOVIE
from movie_ratings.movies.release import add_year
from movie_ratings.movies.rows import within
from movie_ratings.movies.text import TextFormat, encode

if TYPE_CHECKING:
    from tokenizers import Tokenizer

RATING_EDGES = np.arange(0, 10.5, 0.5)
LANGUAGES = 12
LENGTH_STEP = 16
UNCUT = 1 << 30  # tokens
VOTE_STEPS = 2  # bins between a number of votes and ten times as many
ENCODED: Final = 1_000  # movies that are tokenised at a time


def read_texts(
    path: str, measured: np.ndarray, fields: Sequence[str], tokenizer: "Tokenizer"
) -> tuple[dict[str, int], np.ndarray]:
    """Count the movies without each field, and measure the texts of some movies in tokens, batch by batch.

    ``path`` is the file of cleaned movies; ``measured`` (movies,) are the row numbers of the movies whose texts are
    measured. Returns the number of movies that lack each field, and the lengths of the uncut texts, shape (movies,).
    """
    uncut = TextFormat(tuple(fields), UNCUT)
    missing = dict.fromkeys(MOVIE.names, 0)
    lengths: list[int] = []
    first = 0
    for batch in parquet.read_batches(path, MOVIE):
        movies = pl.DataFrame(add_year(batch))
        for name in missing:
            missing[name] += _missing(movies[name])
        for part in movies[within(measured, first, len(movies))].iter_slices(ENCODED):
            lengths += map(len, encode(tokenizer, part.to_dicts(), uncut))
        first += len(movies)
    return missing, np.array(lengths)


def describe(movies: pl.DataFrame, missing: dict[str, int], tokens: np.ndarray) -> dict[str, pl.DataFrame]:
    """Return the tables under metrics/explore, by name; each is sorted, so that equal movies give equal files.

    ``missing`` and ``tokens`` come from `read_texts`.
    """
    ratings = movies["vote_average"].to_numpy()
    counts, _ = np.histogram(ratings, RATING_EDGES)
    lengths, edges = np.histogram(tokens, np.arange(0, tokens.max() + LENGTH_STEP + 1, LENGTH_STEP))
    votes = np.floor(np.log10(np.maximum(movies["vote_count"].fill_null(0).to_numpy(), 1)) * VOTE_STEPS) / VOTE_STEPS
    by_votes = (
        pl.DataFrame({"decade": votes, "rating": ratings})
        .group_by("decade")
        .agg(
            pl.len().alias("movies"),
            pl.col("rating").mean().alias("mean_rating"),
            pl.col("rating").std(ddof=0).alias("std"),
        )
        .sort("decade")
        .select((10 ** pl.col("decade")).round().cast(pl.Int64).alias("votes_from"), "movies", "mean_rating", "std")
    )
    per_movie = movies["genres"].list.len()
    return {
        "ratings": pl.DataFrame({"rating_from": RATING_EDGES[:-1], "movies": counts}),
        "movies_per_genre": _counts(movies["genres"].explode(), "genre"),
        "genres_per_movie": _counts(per_movie, "genres").sort("genres"),
        "text_length": pl.DataFrame({"tokens_from": edges[:-1], "movies": lengths}),
        "votes": by_votes,
        "languages": _counts(_languages(movies).fill_null("unknown"), "language").head(LANGUAGES),
        "missing": pl.DataFrame(
            {"field": list(missing), "missing": list(missing.values())}, {"field": pl.String, "missing": pl.Int64}
        ),
    }


def _languages(movies: pl.DataFrame) -> pl.Series:
    """The original language of each movie; the spoken languages if the source has no original language at all."""
    original = movies["original_language"]
    return original if original.drop_nulls().len() else movies["spoken_languages"].explode()


def _counts(values: pl.Series, name: str) -> pl.DataFrame:
    """The number of movies with each value, the most frequent value first."""
    return values.alias(name).value_counts(name="movies").sort(["movies", name], descending=[True, False])


def _missing(column: pl.Series) -> int:
    if isinstance(column.dtype, pl.List):
        return int((column.list.len().fill_null(0) == 0).sum())
    return int(column.null_count())
