"""Clean: one row for each film worth learning from; data/raw/movies.parquet → data/clean/movies.parquet.

Whitespace is normalised. Dropped are rows with no title, no summary or no rating, with fewer votes than
clean.min_votes, and duplicates: of the same id, and of the same normalised title and year, the row with more votes
stays. A movie without genres gets NonGiven. metrics/clean.json counts every row that was dropped, by its reason.
"""

from movie_ratings import params
from movie_ratings.core import storage
from movie_ratings.core.command import run_stage
from movie_ratings.core.paths import CLEAN, CLEAN_METRICS, RAW
from movie_ratings.movies.cleaning import clean_table


def clean() -> None:
    counts = clean_table(RAW, CLEAN, params.load().clean.min_votes)
    storage.write_json(CLEAN_METRICS, counts)
    print(f"clean: kept {counts['rows_out']:,} of {counts['rows_in']:,} movies")


if __name__ == "__main__":
    run_stage(clean, [CLEAN, CLEAN_METRICS])
