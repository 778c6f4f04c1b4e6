"""17,000 films to 2014 with the critics' average, from the CC0 table inside the package `bokeh_sampledata`.

The table has no plots: the summary states facts that were known on the day of release. The summary leaves out awards,
Oscars, box office and the number of reviews, which became known later.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pyarrow as pa

from movie_ratings.core.errors import UserError
from movie_ratings.core.packages import installed_file
from movie_ratings.movies.record import MOVIE
from movie_ratings.params import Fetch
from movie_ratings.sources.facts import summary
from movie_ratings.sources.fetch_report import FetchReport
from movie_ratings.sources.values import day, minutes

PACKAGE_FILE = "bokeh_sampledata/_data/movies.db"
BATCH = 1_000

QUERY = """
    SELECT omdb.ID AS id, Title, Released, Runtime, Genre, Director, Writer, "Cast", Language, Country,
           tomatoes.Rating AS rating, Reviews
    FROM omdb JOIN tomatoes ON tomatoes.ID = omdb.ID
    ORDER BY omdb.ID
"""


def batches(params: Fetch, report: FetchReport) -> Iterator[pa.RecordBatch]:
    """The films of the table by id, including films without a rating.

    Raises:
        UserError: the table cannot be read.
    """
    path = installed_file(PACKAGE_FILE)
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            cursor = database.execute(QUERY)
            while rows := cursor.fetchmany(BATCH):
                yield pa.RecordBatch.from_pylist([_movie(row) for row in rows], MOVIE)
    except sqlite3.Error as error:
        raise UserError(f"fetch.source wikidata: {path}: {error}") from None


def _movie(row: sqlite3.Row) -> dict[str, Any]:
    countries, languages = _names(row["Country"]), _names(row["Language"])
    directors, writers = _names(row["Director"]), _names(row["Writer"])
    runtime, released = minutes(row["Runtime"]), day(row["Released"])
    year = released.year if released else None
    return {
        "id": row["id"],
        "source": "wikidata",
        "title": row["Title"],
        "summary": summary(year, countries, languages, runtime, directors, writers) or None,
        "genres": _names(row["Genre"]),
        "spoken_languages": languages,
        "cast": _names(row["Cast"]),  # in alphabetical order: the table has no billing
        "directors": directors,
        "writers": writers,
        "countries": countries,
        "release_date": released,
        "runtime": runtime,
        "vote_average": row["rating"],
        "vote_count": row["Reviews"],
    }


def _names(cell: str | None) -> list[str]:
    return [name.strip() for name in (cell or "").split(",") if name.strip()]
