"""The films of title.basics that title.ratings has a rating for."""

from typing import Final

import polars as pl

from movie_ratings.params import Imdb
from movie_ratings.sources.fetch_report import FetchReport
from movie_ratings.sources.imdb.tables import Tables
from movie_ratings.sources.imdb.tsv import Part, converted, identifier, number

FIRST_YEAR, LAST_YEAR = 1800, 2200  # as in the other sources; IMDb's oldest film is of 1874
LONGEST: Final = 1_000_000  # minutes; the longest film has 51,420

BASICS: Final = (
    "tconst", "titleType", "primaryTitle", "originalTitle", "isAdult", "startYear", "runtimeMinutes", "genres",
)  # fmt: skip
FILM: Final = {
    "id": pl.UInt32,  # the number in the tconst
    "title": pl.String,
    "original_title": pl.String,
    "adult": pl.Boolean,
    "year": pl.Int32,
    "runtime": pl.Int32,  # minutes
    "genres": pl.String,  # separated by commas
    "vote_average": pl.Float64,
    "vote_count": pl.Int64,
}


def films(tables: Tables, params: Imdb, report: FetchReport) -> pl.DataFrame:
    """The rated films of ``params.types``, columns `FILM`, by id; ``report`` counts titles, films and gaps.

    Raises:
        UserError: see `Tables.rows`.
    """
    rated = _ratings(tables)
    counts = report.counts

    def convert(part: Part) -> Part:
        counts["titles"] += len(part.rows)
        chosen = Part(part.rows.filter(pl.col("titleType").is_in(params.types)), part.broken)
        return converted(chosen, ["tconst"], tconst=identifier("tconst", "tt"), isAdult=_flag("isAdult"))

    found = [pl.DataFrame(schema=FILM)]
    for rows in tables.rows("title.basics", BASICS, convert):
        if not params.adult:
            rows = rows.filter(~pl.col("isAdult").fill_null(False))
        films = rows.join(rated, left_on="tconst", right_on="id", how="inner")
        counts["films"] += len(rows)
        counts["without_rating"] += len(rows) - len(films)
        films = films.with_columns(
            year=_whole("startYear", FIRST_YEAR, LAST_YEAR), runtime=_whole("runtimeMinutes", 0, LONGEST)
        )
        for field, cell, value in (("release_date", "startYear", "year"), ("runtime", "runtimeMinutes", "runtime")):
            unreadable = pl.col(cell).is_not_null() & pl.col(value).is_null()
            counts[f"unreadable_{field}"] += len(films.filter(unreadable))
        found.append(
            films.select(
                id="tconst",
                title="primaryTitle",
                original_title="originalTitle",
                adult="isAdult",
                year="year",
                runtime=pl.when(pl.col("runtime") > 0).then("runtime"),
                genres="genres",
                vote_average="vote_average",
                vote_count="vote_count",
            )
        )
    return pl.concat(found).sort("id", maintain_order=True)


def _ratings(tables: Tables) -> pl.DataFrame:
    """Rating and number of votes by id; a row without one of them is left out."""

    def convert(part: Part) -> Part:
        return converted(
            part,
            ["tconst"],
            tconst=identifier("tconst", "tt"),
            averageRating=number("averageRating", pl.Float64),
            numVotes=number("numVotes", pl.Int64),
        )

    found = [pl.DataFrame(schema={name: FILM[name] for name in ("id", "vote_average", "vote_count")})]
    for rows in tables.rows("title.ratings", ("tconst", "averageRating", "numVotes"), convert):
        found.append(rows.select(id="tconst", vote_average="averageRating", vote_count="numVotes").drop_nulls())
    return pl.concat(found).unique("id", keep="first", maintain_order=True)


def _flag(column: str) -> pl.Expr:
    return pl.col(column).replace_strict({"0": False, "1": True}, default=None, return_dtype=pl.Boolean)


def _whole(column: str, least: int, most: int) -> pl.Expr:
    """A whole number in a range, null for any other text."""
    found = pl.col(column).cast(pl.Int32, strict=False)
    return pl.when(found.is_between(least, most)).then(found)
