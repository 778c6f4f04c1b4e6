"""History: rated films of other tables, for the track records of people; history.sources names the tables.

A movie's directors, cast, crew and companies have earlier films. How these were rated is known before the movie is
released, and train reads it (linear.records). The ratings come from the training movies, and from the films that this
stage collects: those that are not among the movies of data/clean/movies.parquet, so that no rating of a validation or
test movie is among them. clean.min_votes holds for these films too.

data/history/films.parquet     title, year, people and rating of each film
metrics/details/history.json   the number of films of each table
"""

from collections.abc import Iterator

import polars as pl
import pyarrow as pa

from movie_ratings import params
from movie_ratings.core import parquet, storage
from movie_ratings.core.command import run_stage
from movie_ratings.core.paths import CLEAN, HISTORY_DETAILS, OUTSIDE
from movie_ratings.core.rounding import rounded
from movie_ratings.movies import outside, record
from movie_ratings.movies.release import add_year
from movie_ratings.params import Params
from movie_ratings.sources import selected
from movie_ratings.sources.fetch_report import FetchReport

COLUMNS = ("title", "release_date")  # the columns that decide which films are movies of the pipeline


def history() -> None:
    options = params.load()
    films = pl.concat([pl.DataFrame(schema=pl.DataFrame(record.OUTSIDE.empty_table()).schema), *_films(options)])
    movies = pl.DataFrame(
        add_year(parquet.read_table(CLEAN, pa.schema([record.MOVIE.field(name) for name in COLUMNS])))
    )
    kept = outside.not_among(films, movies["title"], movies["year"])
    parquet.write_table(OUTSIDE, kept.to_arrow().cast(record.OUTSIDE))
    counts = {
        source: {"rated": films.filter(source=source).height, "kept": kept.filter(source=source).height}
        for source in options.history_sources
    }
    storage.write_json(HISTORY_DETAILS, rounded({"films": kept.height, "sources": counts}))
    print(f"history: {kept.height:,} films from {', '.join(options.history_sources) or 'no other table'}")


def _films(options: Params) -> Iterator[pl.DataFrame]:
    for source in options.history_sources:
        fetch = options.fetch.model_copy(update={"source": source, "files": options.history.files})
        for batch in selected.batches(fetch, FetchReport()):
            yield outside.rated_films(batch, options.clean.min_votes)


if __name__ == "__main__":
    run_stage(history, [OUTSIDE, HISTORY_DETAILS])
