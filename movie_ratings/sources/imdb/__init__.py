"""Movies from IMDb's tables for non-commercial use, joined by title and by person; they have no plots.

The tables are downloaded once into the store, or lie in a folder of the user's own. IMDb replaces them every day: the
same movies come from the same tables alone, and metrics/details/fetch.json names the versions that were read.

Information courtesy of IMDb (https://www.imdb.com). Used with permission.
"""

from collections.abc import Iterator
from typing import Final

import polars as pl
import pyarrow as pa

from movie_ratings.movies.record import MOVIE
from movie_ratings.params import Fetch
from movie_ratings.sources.facts import summary
from movie_ratings.sources.fetch_report import FetchReport
from movie_ratings.sources.imdb.films import films
from movie_ratings.sources.imdb.people import People
from movie_ratings.sources.imdb.tables import Tables

SLICE: Final = 100_000  # films whose people are joined at a time
# How many directors, and how many writers, a summary names. IMDb lists more of them for films that became famous, and
# fame is known only after the release.
MAKERS: Final = 2

COUNTS: Final = (
    "titles", "films", "without_rating", "broken", "unreadable_release_date", "unreadable_runtime",
    "people_without_name",
)  # fmt: skip


def batches(params: Fetch, report: FetchReport) -> Iterator[pa.RecordBatch]:
    """The rated films of ``params.imdb.types``, by the number in their tconst.

    Raises:
        UserError: a table cannot be downloaded or read, lacks a column, or has too many broken rows.
    """
    report.counts = dict.fromkeys(COUNTS, 0)
    tables = Tables(params.imdb, report)
    found = films(tables, params.imdb, report)
    people = People(tables, found["id"], params.imdb.cast_size)
    report.counts["people_without_name"] = people.without_name
    for some in found.iter_slices(SLICE):
        yield from _records(people.of(some))


def _records(movies: pl.DataFrame) -> list[pa.RecordBatch]:
    """Films with their people as movie records; fields that IMDb does not know are null."""
    stated = ("year", "runtime", "directors", "writers")
    summaries = [
        summary(year, [], [], runtime, directors[:MAKERS], writers[:MAKERS]) or None
        for year, runtime, directors, writers in movies.select(stated).iter_rows()
    ]
    known = movies.with_columns(
        pl.lit("imdb").alias("source"),
        pl.Series("summary", summaries, dtype=pl.String),
        pl.col("genres").str.split(",").fill_null([]),
        pl.date("year", 1, 1).alias("release_date"),
    ).to_arrow()
    columns = [
        known[field.name].cast(field.type) if field.name in known.column_names else pa.nulls(len(movies), field.type)
        for field in MOVIE
    ]
    return pa.Table.from_arrays(columns, schema=MOVIE).combine_chunks().to_batches()
