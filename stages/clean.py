"""Clean: one row for each film worth learning from; data/raw/movies.parquet → data/clean/movies.parquet.

Whitespace is normalised. Dropped are rows with no title, no summary or no rating, with fewer votes than
clean.min_votes, and duplicates: of the same id, and of the same normalised title and year, the row with more votes
stays. A movie without genres gets NonGiven. metrics/clean.json counts every row that was dropped, by its reason.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any

import polars as pl

from stages import params, parquet, storage
from stages.command import run_stage
from stages.groups import group_key
from stages.params import Clean
from stages.schema import MOVIE
from stages.text import NO_GENRE, normalise

INPUT = "data/raw/movies.parquet"
OUTPUT = "data/clean/movies.parquet"
METRICS = "metrics/clean.json"

TEXTS = ("title", "original_title", "summary", "original_language")
LISTS = ("genres", "spoken_languages", "cast", "directors")


def clean() -> None:
    options = params.load().clean
    movies, counts = cleaned(pl.DataFrame(parquet.read_table(INPUT, MOVIE)), options)
    parquet.write_table(OUTPUT, movies.to_arrow().cast(MOVIE))
    storage.write_json(METRICS, counts)
    print(f"clean: kept {counts['rows_out']:,} of {counts['rows_in']:,} movies")


def cleaned(raw: pl.DataFrame, options: Clean) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The rows worth keeping, by id, and the count of the others by the first reason that applies to each."""
    movies = raw.with_columns(
        *(_texts(raw[name]) for name in TEXTS),
        *(_lists(raw[name]) for name in LISTS),
    ).with_columns(
        pl.when(pl.col("genres").list.len() > 0).then("genres").otherwise(pl.lit([NO_GENRE])).alias("genres")
    )
    rating, votes = pl.col("vote_average"), pl.col("vote_count").fill_null(0)
    reason = (
        pl.when(pl.col("title").is_null())
        .then(pl.lit("no_title"))
        .when(pl.col("summary").is_null())
        .then(pl.lit("no_summary"))
        .when(rating.is_null() | rating.is_nan() | (rating == 0))
        .then(pl.lit("no_rating"))
        .when(~rating.is_between(0, 10))
        .then(pl.lit("rating_out_of_range"))
        .when(votes < options.min_votes)
        .then(pl.lit("few_votes"))
    )
    movies = movies.with_columns(reason=reason)
    dropped = dict.fromkeys(("no_title", "no_summary", "no_rating", "rating_out_of_range", "few_votes"), 0)
    dropped |= dict(movies.drop_nulls("reason")["reason"].value_counts().iter_rows())
    kept = movies.filter(pl.col("reason").is_null()).drop("reason")

    keys = _keys(kept["title"], kept["release_date"])
    # Most votes first; among equals the smaller id, then the earlier row, so that nothing is left to chance.
    ranked = kept.with_columns(keys, votes=votes).sort(["votes", "id"], descending=[True, False], maintain_order=True)
    by_id = ranked.unique("id", keep="first", maintain_order=True)
    dropped["duplicate_id"] = len(ranked) - len(by_id)
    by_film = by_id.unique("group_key", keep="first", maintain_order=True)
    dropped["duplicate_title_year"] = len(by_id) - len(by_film)

    movies = by_film.sort("id").select(MOVIE.names)
    return movies, {"rows_in": len(raw), "rows_out": len(movies), "dropped": dropped}


def _texts(column: pl.Series) -> pl.Series:
    """Normalised strings; an empty one is null."""
    return pl.Series(column.name, [normalise(text or "") or None for text in column], pl.String)


def _lists(column: pl.Series) -> pl.Series:
    """Normalised strings in each list, empty ones dropped; a null list stays null."""
    return pl.Series(column.name, [_names(names) for names in column], pl.List(pl.String))


def _names(names: Iterable[str | None] | None) -> list[str] | None:
    return None if names is None else [name for name in (normalise(n or "") for n in names) if name]


def _keys(titles: Iterable[str], days: Iterable[date | None]) -> pl.Series:
    return pl.Series("group_key", [group_key(title, day) for title, day in zip(titles, days, strict=True)], pl.String)


if __name__ == "__main__":
    run_stage(clean, [OUTPUT, METRICS])
