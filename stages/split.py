"""Split: assign each movie to the training, validation or test split, and fit the thresholds between the classes.

With split.by film, a hash of the normalised title and the year of release decides; of a film that belongs to a
collection, the hash of the collection's name, so that all films of a collection are in one split. The hash has a fixed
salt, so a film stays in its split when the data is fetched again, unless it has come into a collection. With split.by
time, whole years are in one split and the newest years are the test split: this measures how a model does on movies
newer than its training data. The films of a collection are then in the splits of their years. The rating thresholds
between bad, average and good are fitted on the training split alone.

data/split/splits.parquet   the split of each movie of data/clean/movies.parquet
data/split/thresholds.json  the two thresholds
metrics/details/split.json  sizes and class shares of the splits, with warnings where they differ too much
"""

import sys
from dataclasses import asdict
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from movie_ratings import params
from movie_ratings.core import parquet, storage
from movie_ratings.core.command import run_stage
from movie_ratings.core.paths import CLEAN, SPLIT_DETAILS, SPLITS, THRESHOLDS
from movie_ratings.core.rounding import rounded
from movie_ratings.movies import splits
from movie_ratings.movies.film import group_keys, position, split_keys
from movie_ratings.movies.labels import CLASSES, class_indices, fit_thresholds
from movie_ratings.movies.record import MOVIE, SPLIT_OF
from movie_ratings.movies.release import add_year

# The columns that decide the split and the label.
COLUMNS: Final = ("id", "title", "collection", "release_date", "vote_average")
# Fixed before any model was trained: a salt chosen by results would fit the test split.
SALT: Final = "split"


def split() -> None:
    options = params.load()
    movies = pl.DataFrame(add_year(parquet.read_table(CLEAN, pa.schema([MOVIE.field(name) for name in COLUMNS]))))
    fractions = options.split.fractions.model_dump()
    if options.split.by == "time":
        keys = group_keys(movies["title"], movies["year"])
        places = splits.by_year(movies["year"].fill_null(0).to_numpy())
    else:
        keys = split_keys(movies["title"], movies["year"], movies["collection"])
        places = np.array([position(key, SALT) for key in keys])
    sides = splits.sides_of(places, fractions)
    ratings = movies["vote_average"].to_numpy()
    thresholds = fit_thresholds(ratings[sides == "train"], options.labels)
    labels = np.array(CLASSES)[class_indices(ratings, thresholds)]
    splits.require_every_class(sides, labels)
    details = splits.summary(keys, sides, labels, thresholds, fractions)

    parquet.write_table(SPLITS, pa.table([movies["id"].to_arrow(), pa.array(sides, pa.string())], schema=SPLIT_OF))
    storage.write_json(THRESHOLDS, asdict(thresholds))
    storage.write_json(SPLIT_DETAILS, rounded(details))
    for warning in details["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    print("split: " + ", ".join(f"{name} {details['rows'][name]:,}" for name in splits.NAMES))


if __name__ == "__main__":
    run_stage(split, [SPLITS, THRESHOLDS, SPLIT_DETAILS])
