"""Explore: what the cleaned movies look like → data/reports/explore.html and the tables under metrics/explore.

Genres per movie and movies per genre, ratings overall and for the most frequent genres, text length in the model's
tokens, votes against rating, languages and missing values. The page opens without a network.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import polars as pl

from stages import figures, params, parquet, pretrained, storage
from stages.command import run_stage
from stages.errors import UserError
from stages.params import Text
from stages.schema import MOVIE
from stages.text import TextFormat, encode

INPUT = "data/clean/movies.parquet"
REPORT = "data/reports/explore.html"
TABLES = "metrics/explore"

RATING_EDGES = np.arange(0, 10.5, 0.5)
LANGUAGES = 12
LENGTH_STEP = 16
UNCUT = 1 << 30  # tokens
VOTE_STEPS = 2  # bins to a tenfold of votes


def explore() -> None:
    options = params.load()
    movies = pl.DataFrame(parquet.read_table(INPUT, MOVIE))
    if movies.is_empty():
        raise UserError(f"{INPUT}: no movies to explore")
    tokens = token_lengths(movies, options.text, options.model.name)
    tables = describe(movies, tokens)
    with storage.whole(TABLES) as temporary:
        temporary.mkdir()
        for name, table in tables.items():
            table.write_csv(temporary / f"{name}.csv")
    lengths = tables["text_length"]
    by_genre = movies.select("genres", "vote_average").explode("genres")
    top = tables["movies_per_genre"].head(options.explore.top_genres)["genre"].to_list()
    figures.write_page(
        REPORT,
        "explore.html.j2",
        rows=len(movies),
        source=movies["source"][0],
        missing=tables["missing"].rows(),
        share_cut=float(np.mean(tokens > options.text.max_length)),
        max_length=options.text.max_length,
        ratings=figures.histogram(RATING_EDGES.tolist(), tables["ratings"]["movies"].to_list(), "rating"),
        genre_ratings=figures.boxes(
            {genre: by_genre.filter(pl.col("genres") == genre)["vote_average"].to_list() for genre in top}, "rating"
        ),
        movies_per_genre=figures.bars(_mapping(tables["movies_per_genre"]), "movies"),
        genres_per_movie=figures.bars(_mapping(tables["genres_per_movie"]), "movies"),
        languages=figures.bars(_mapping(tables["languages"]), "movies"),
        lengths=figures.histogram(
            [*lengths["tokens_from"].to_list(), LENGTH_STEP * len(lengths)], lengths["movies"].to_list(), "tokens"
        ),
        votes=figures.lines(
            tables["votes"]["votes_from"].to_list(),
            {
                "mean rating": tables["votes"]["mean_rating"].to_list(),
                "standard deviation": tables["votes"]["std"].to_list(),
            },
            "votes",
            "rating",
        ),
    )
    print(f"explore: {REPORT} written")


def describe(movies: pl.DataFrame, tokens: np.ndarray) -> dict[str, pl.DataFrame]:
    """The tables under metrics/explore, each sorted, so that equal movies give equal bytes."""
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
    genres = _counts(movies["genres"].explode().to_list(), "genre")
    per_movie = movies.select(pl.col("genres").list.len().alias("genres"))["genres"].to_list()
    return {
        "ratings": pl.DataFrame({"rating_from": RATING_EDGES[:-1], "movies": counts}),
        "movies_per_genre": genres,
        "genres_per_movie": _counts(per_movie, "genres").sort("genres"),
        "text_length": pl.DataFrame({"tokens_from": edges[:-1], "movies": lengths}),
        "votes": by_votes,
        "languages": _counts(movies["original_language"].fill_null("unknown").to_list(), "language").head(LANGUAGES)
        if movies["original_language"].drop_nulls().len()
        else _counts(movies["spoken_languages"].explode().fill_null("unknown").to_list(), "language").head(LANGUAGES),
        "missing": pl.DataFrame(
            {"field": MOVIE.names, "missing": [_missing(movies[name]) for name in MOVIE.names]},
            schema={"field": pl.String, "missing": pl.Int64},
        ),
    }


def token_lengths(movies: pl.DataFrame, text: Text, model: str) -> np.ndarray:
    """Tokens of each movie's text before it is cut, special tokens included."""
    tokenizer = pretrained.load_tokenizer(model).backend_tokenizer
    rows = movies.to_dicts()
    return np.array([len(ids) for ids in encode(tokenizer, rows, TextFormat(tuple(text.fields), UNCUT))])


def _counts(values: Iterable[Any], name: str) -> pl.DataFrame:
    """How often each value occurs, the most frequent first."""
    counted = pl.Series(name, list(values)).value_counts(name="movies")
    return counted.sort(["movies", name], descending=[True, False])


def _missing(column: pl.Series) -> int:
    if isinstance(column.dtype, pl.List):
        return int((column.list.len().fill_null(0) == 0).sum())
    return int(column.null_count())


def _mapping(table: pl.DataFrame) -> dict[str, float]:
    names: Sequence[Any] = table.to_series(0).to_list()
    return {str(name): count for name, count in zip(names, table["movies"].to_list(), strict=True)}


if __name__ == "__main__":
    run_stage(explore, [REPORT, TABLES])
