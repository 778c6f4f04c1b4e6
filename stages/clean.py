"""Clean: drop the rows that cannot be learned from; data/raw/movies.parquet → data/clean/movies.parquet.

Whitespace is normalised, and a movie without genres gets the genre NonGiven. A row is dropped if it has no title, no
summary or no rating, if its rating is not between 0 and 10, or if it has fewer votes than clean.min_votes. Of rows with
the same id, and of rows with the same normalised title and year, the row with the most votes stays.
metrics/details/clean.json counts the dropped rows by reason.
"""

from movie_ratings import params
from movie_ratings.core import storage
from movie_ratings.core.command import run_stage
from movie_ratings.core.paths import CLEAN, CLEAN_DETAILS, RAW
from movie_ratings.movies.cleaning import clean_table


def clean() -> None:
    counts = clean_table(RAW, CLEAN, params.load().clean.min_votes)
    storage.write_json(CLEAN_DETAILS, counts)
    print(f"clean: kept {counts['rows_out']:,} of {counts['rows_in']:,} movies")


if __name__ == "__main__":
    run_stage(clean, [CLEAN, CLEAN_DETAILS])
