"""The page that describes the cleaned movies, drawn from the tables of `description`."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from markupsafe import Markup

from movie_ratings.reports import figures
from movie_ratings.reports.description import LENGTH_STEP, RATING_EDGES


def write(
    path: str, movies: pl.DataFrame, tables: Mapping[str, pl.DataFrame], tokens: np.ndarray, max_length: int, top: int
) -> None:
    """Write the page to ``path``.

    ``tables`` come from `description.describe`; ``tokens`` (movies measured,) are text lengths before texts are cut at
    ``max_length`` tokens. Ratings are drawn for the ``top`` most frequent genres.
    """
    lengths, votes = tables["text_length"], tables["votes"]
    figures.write_page(
        path,
        "explore.html.j2",
        rows=len(movies),
        source=movies["source"][0],
        measured=len(tokens),
        missing=tables["missing"].rows(),
        share_cut=float(np.mean(tokens > max_length)),
        max_length=max_length,
        ratings=figures.histogram(RATING_EDGES.tolist(), tables["ratings"]["movies"].to_list(), "rating"),
        genre_ratings=_genre_ratings(movies, tables["movies_per_genre"].head(top)["genre"].to_list()),
        movies_per_genre=figures.bars(_counts(tables["movies_per_genre"]), "movies"),
        genres_per_movie=figures.bars(_counts(tables["genres_per_movie"]), "movies"),
        languages=figures.bars(_counts(tables["languages"]), "movies"),
        lengths=figures.histogram(
            [*lengths["tokens_from"].to_list(), LENGTH_STEP * len(lengths)], lengths["movies"].to_list(), "tokens"
        ),
        votes=figures.lines(
            votes["votes_from"].to_list(),
            {"mean rating": votes["mean_rating"].to_list(), "standard deviation": votes["std"].to_list()},
            "votes",
            "rating",
        ),
    )


def _genre_ratings(movies: pl.DataFrame, genres: list[str]) -> Markup:
    ratings = movies.select("genres", "vote_average").explode("genres")
    return figures.boxes(
        {genre: ratings.filter(pl.col("genres") == genre)["vote_average"].to_numpy() for genre in genres}, "rating"
    )


def _counts(table: pl.DataFrame) -> dict[str, float]:
    """A table of names and numbers of movies as a dictionary, in the order of its rows."""
    return {str(name): count for name, count in table.select(table.columns[0], "movies").iter_rows()}
