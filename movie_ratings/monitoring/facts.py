"""The facts of movies by their ids, from the table that the clean stage writes."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from movie_ratings.core import parquet
from movie_ratings.core.paths import CLEAN
from movie_ratings.movies.record import MOVIE
from movie_ratings.movies.release import add_year

# What `movie_ratings.evaluation.slices.keys` looks at.
COLUMNS: Final = ("id", "genres", "release_date", "spoken_languages", "vote_count", "summary")


def of_movies(ids: Sequence[int]) -> list[Mapping[str, Any] | None]:
    """The facts of each movie; None for an id that no movie, or several movies, of data/clean/movies.parquet have.

    Raises:
        UserError: the file is missing, or is not what the clean stage writes.
    """
    schema, wanted = pa.schema([MOVIE.field(name) for name in COLUMNS]), pa.array(ids, pa.int64())
    found: dict[int, Mapping[str, Any] | None] = {}
    for batch in parquet.read_batches(CLEAN, schema):
        for movie in add_year(batch.filter(pc.is_in(batch["id"], wanted))).to_pylist():
            found[movie["id"]] = None if movie["id"] in found else movie
    return [found.get(number) for number in ids]
