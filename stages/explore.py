"""Explore: describe the cleaned movies, in tables and on one page.

The tables count genres, ratings, votes, languages, text lengths in the model's tokens, and missing values. The page
draws them and opens without a network connection. Of a data set with more than 50,000 movies, text lengths are those of
50,000 movies at regular distances.

data/reports/explore.html  the page
metrics/explore/           one CSV file for each table
"""

from typing import Final

import polars as pl
import pyarrow as pa

from movie_ratings import params
from movie_ratings.core import csv_files, parquet
from movie_ratings.core.command import run_stage
from movie_ratings.core.errors import UserError
from movie_ratings.core.paths import CLEAN, EXPLORE_PAGE, EXPLORE_TABLES
from movie_ratings.movies.record import MOVIE
from movie_ratings.movies.rows import evenly_spaced
from movie_ratings.reports import description, explore_page
from movie_ratings.training import named_model

MEASURED: Final = 50_000  # movies, at most, whose text lengths are measured
COLUMNS: Final = ("source", "genres", "spoken_languages", "original_language", "vote_average", "vote_count")


def explore() -> None:
    options = params.load()
    movies = pl.DataFrame(parquet.read_table(CLEAN, pa.schema([MOVIE.field(name) for name in COLUMNS])))
    if movies.is_empty():
        raise UserError(f"{CLEAN}: no movies to explore")
    tokenizer = named_model.load_tokenizer(options.model.name).backend_tokenizer
    rows = evenly_spaced(len(movies), MEASURED)
    missing, tokens = description.read_texts(CLEAN, rows, options.text.fields, tokenizer)
    tables = description.describe(movies, missing, tokens)
    csv_files.write_folder(EXPLORE_TABLES, tables)
    explore_page.write(EXPLORE_PAGE, movies, tables, tokens, options.text.max_length, options.explore.top_genres)
    print(f"explore: {EXPLORE_PAGE} written")


if __name__ == "__main__":
    run_stage(explore, [EXPLORE_PAGE, EXPLORE_TABLES])
