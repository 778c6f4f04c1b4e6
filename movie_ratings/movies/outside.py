"""Rated films of other tables, whose ratings count in the track records of people but which no model is trained on."""

from typing import Final

import polars as pl
import pyarrow as pa

from movie_ratings.movies.cleaning import normalised
from movie_ratings.movies.film import group_keys
from movie_ratings.movies.record import OUTSIDE
from movie_ratings.movies.release import add_year

YEARS_APART: Final = 1  # two tables can date the release of one film by neighbouring years


def rated_films(movies: pa.RecordBatch, min_votes: int) -> pl.DataFrame:
    """The movies (`record.MOVIE`) with title, year, rating and enough votes, as rows of `record.OUTSIDE`.

    A film without a year is left out: nobody can say which films it came before.
    """
    found = normalised(add_year(movies)).rename({"vote_average": "rating"})
    rating = pl.col("rating")
    enough = pl.col("vote_count").fill_null(0) >= min_votes
    known = pl.col("title").is_not_null() & pl.col("year").is_not_null()
    return found.filter(known & rating.is_between(0, 10, closed="right") & enough).select(OUTSIDE.names)


def not_among(films: pl.DataFrame, titles: pl.Series, years: pl.Series) -> pl.DataFrame:
    """Those of ``films`` that are not among the movies with these titles and years, each film once.

    The ratings of the pipeline's own movies come from its training split alone. A film of another table with the same
    title, of the same year or a neighbouring one, could be a movie of the test split. A movie without a year removes
    all films of its title.
    """
    films = films.with_columns(key=_titles(films["title"])).unique(["key", "year"], keep="first", maintain_order=True)
    own = pl.DataFrame({"key": _titles(titles), "year": years.cast(pl.Int32)})
    near = pl.concat([own.with_columns(pl.col("year") + step) for step in range(-YEARS_APART, YEARS_APART + 1)])
    films = films.join(near.drop_nulls("year").unique(), on=["key", "year"], how="anti", maintain_order="left")
    undated = own.filter(pl.col("year").is_null()).select("key").unique()
    return films.join(undated, on="key", how="anti", maintain_order="left").drop("key")


def _titles(titles: pl.Series) -> pl.Series:
    """The titles without case, accents, punctuation and spaces."""
    return group_keys(titles, pl.Series([None] * len(titles), dtype=pl.Int32))
