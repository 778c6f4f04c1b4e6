"""Explore: what the cleaned movies look like → data/reports/explore.html and the tables under metrics/explore.

Genres per movie and movies per genre, ratings overall and for the most frequent genres, text length in the model's
tokens, votes against rating, languages and missing values. The page opens without a network. Texts are read a batch at
a time; of a table with more than 50,000 movies, the text lengths are those of so many, spread evenly over it.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa

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
MEASURED: Final = 50_000  # movies whose texts are cut into tokens
ENCODED: Final = 1_000  # movies that are cut into tokens at a time
DESCRIBED: Final = ("source", "genres", "spoken_languages", "original_language", "vote_average", "vote_count")


def explore() -> None:
    options = params.load()
    movies = pl.DataFrame(parquet.read_table(INPUT, pa.schema([MOVIE.field(name) for name in DESCRIBED])))
    if movies.is_empty():
        raise UserError(f"{INPUT}: no movies to explore")
    measured = parquet.spread(len(movies), MEASURED)
    missing, tokens = read_texts(measured, options.text, options.model.name)
    tables = describe(movies, missing, tokens)
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
        measured=len(measured),
        missing=tables["missing"].rows(),
        share_cut=float(np.mean(tokens > options.text.max_length)),
        max_length=options.text.max_length,
        ratings=figures.histogram(RATING_EDGES.tolist(), tables["ratings"]["movies"].to_list(), "rating"),
        genre_ratings=figures.boxes(
            {genre: by_genre.filter(pl.col("genres") == genre)["vote_average"].to_numpy() for genre in top}, "rating"
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


def read_texts(measured: np.ndarray, text: Text, model: str) -> tuple[dict[str, int], np.ndarray]:
    """How many movies lack each field, and the tokens of the ``measured`` rows' texts before they are cut."""
    tokenizer = pretrained.load_tokenizer(model).backend_tokenizer
    uncut = TextFormat(tuple(text.fields), UNCUT)
    missing = dict.fromkeys(MOVIE.names, 0)
    lengths: list[int] = []
    first = 0
    for batch in parquet.read_batches(INPUT, MOVIE):
        movies = pl.DataFrame(batch)
        for name in missing:
            missing[name] += _missing(movies[name])
        for part in movies[parquet.within(measured, first, len(movies))].iter_slices(ENCODED):
            lengths += map(len, encode(tokenizer, part.to_dicts(), uncut))
        first += len(movies)
    return missing, np.array(lengths)


def describe(movies: pl.DataFrame, missing: dict[str, int], tokens: np.ndarray) -> dict[str, pl.DataFrame]:
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
    """The language that each was made in, or, of a source that does not say, those that are spoken."""
    original = movies["original_language"]
    return original if original.drop_nulls().len() else movies["spoken_languages"].explode()


def _counts(values: pl.Series, name: str) -> pl.DataFrame:
    """How often each value occurs, the most frequent first."""
    return values.alias(name).value_counts(name="movies").sort(["movies", name], descending=[True, False])


def _missing(column: pl.Series) -> int:
    if isinstance(column.dtype, pl.List):
        return int((column.list.len().fill_null(0) == 0).sum())
    return int(column.null_count())


def _mapping(table: pl.DataFrame) -> dict[str, float]:
    names: Sequence[Any] = table.to_series(0).to_list()
    return {str(name): count for name, count in zip(names, table["movies"].to_list(), strict=True)}


if __name__ == "__main__":
    run_stage(explore, [REPORT, TABLES])
