"""Clean: drop the rows that cannot be learned from; data/raw/movies.parquet → data/clean/movies.parquet.

Whitespace is normalised, and a movie without genres gets the genre NonGiven. A row is dropped if it has no title, no
summary or no rating, if its rating is not between 0 and 10, or if it has fewer votes than clean.min_votes. Of rows with
the same id and title, and of rows with the same normalised title and year, the row with the most votes stays. Movies
with different titles that share an id get new ids.
metrics/details/clean.json counts the dropped rows by reason.
"""

from typing import Any

import pyarrow as pa

from movie_ratings import params
from movie_ratings.core import parquet, storage
from movie_ratings.core.command import run_stage
from movie_ratings.core.errors import UserError
from movie_ratings.core.paths import CLEAN, CLEAN_DETAILS, RAW
from movie_ratings.movies.cleaning import clean_table
from movie_ratings.movies.record import MOVIE


def clean() -> None:
    counts = clean_table(RAW, CLEAN, params.load().clean.min_votes)
    if not counts["rows_out"]:
        raise UserError(f"clean: {_why_nothing(counts)}")
    storage.write_json(CLEAN_DETAILS, counts)
    print(f"clean: kept {counts['rows_out']:,} of {counts['rows_in']:,} movies")


def _why_nothing(counts: dict[str, Any]) -> str:
    """Why no movie is kept, and what to do about it."""
    if not counts["rows_in"]:
        return f"{RAW} has no movies"
    dropped = ", ".join(f"{count:,} {reason}" for reason, count in counts["dropped"].items() if count)
    votes = parquet.read_table(RAW, pa.schema([MOVIE.field("vote_count")]))["vote_count"]
    unknown = "; the table has no counts of votes: -S clean.min_votes=0" if votes.null_count == len(votes) else ""
    return f"kept 0 of {counts['rows_in']:,} movies: {dropped}{unknown}"


if __name__ == "__main__":
    run_stage(clean, [CLEAN, CLEAN_DETAILS])
