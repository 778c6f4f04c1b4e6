"""Explore: what the cleaned movies look like → data/reports/explore.html and the tables under metrics/explore.

Genres per movie and movies per genre, ratings overall and for the most frequent genres, text length in the model's
tokens, votes against rating, languages and missing values. The page opens without a network. Texts are read a batch at
a time; of a table with more than 50,000 movies, the text lengths are those of so many, spread evenly over it.
"""

from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from movie_ratings import params
from movie_ratings.core import parquet, storage
from movie_ratings.core.command import run_stage
from movie_ratings.core.errors import UserError
from movie_ratings.core.paths import CLEAN, EXPLORE_PAGE, EXPLORE_TABLES
from movie_ratings.movies.record import MOVIE
from movie_ratings.movies.rows import evenly_spaced
from movie_ratings.reports import figures
from movie_ratings.reports.description import LENGTH_STEP, RATING_EDGES, describe, mapping, read_texts
from movie_ratings.training import pretrained

MEASURED: Final = 50_000  # movies whose texts are cut into tokens
DESCRIBED: Final = ("source", "genres", "spoken_languages", "original_language", "vote_average", "vote_count")


def explore() -> None:
    options = params.load()
    movies = pl.DataFrame(parquet.read_table(CLEAN, pa.schema([MOVIE.field(name) for name in DESCRIBED])))
    if movies.is_empty():
        raise UserError(f"{CLEAN}: no movies to explore")
    measured = evenly_spaced(len(movies), MEASURED)
    tokenizer = pretrained.load_tokenizer(options.model.name).backend_tokenizer
    missing, tokens = read_texts(CLEAN, measured, options.text.fields, tokenizer)
    tables = describe(movies, missing, tokens)
    with storage.whole(EXPLORE_TABLES) as temporary:
        temporary.mkdir()
        for name, table in tables.items():
            table.write_csv(temporary / f"{name}.csv")
    lengths = tables["text_length"]
    by_genre = movies.select("genres", "vote_average").explode("genres")
    top = tables["movies_per_genre"].head(options.explore.top_genres)["genre"].to_list()
    figures.write_page(
        EXPLORE_PAGE,
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
        movies_per_genre=figures.bars(mapping(tables["movies_per_genre"]), "movies"),
        genres_per_movie=figures.bars(mapping(tables["genres_per_movie"]), "movies"),
        languages=figures.bars(mapping(tables["languages"]), "movies"),
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
    print(f"explore: {EXPLORE_PAGE} written")


if __name__ == "__main__":
    run_stage(explore, [EXPLORE_PAGE, EXPLORE_TABLES])
