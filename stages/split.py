"""Split: train, validation and test by a hash of the film, or by time, and the label of every movie.

data/clean/movies.parquet → data/split/splits.parquet, the split of each movie, and data/split/thresholds.json. The hash
is of the normalised title and the year, with a fixed salt, so a film never changes sides when data is fetched anew. By
time, whole years are on one side, the newest in test: that tells how a model ages. The thresholds between bad, average
and good are fitted on the training split alone.
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
from movie_ratings.core.paths import CLEAN, SPLIT_METRICS, SPLITS, THRESHOLDS
from movie_ratings.movies import splits
from movie_ratings.movies.film import group_keys, position
from movie_ratings.movies.labels import CLASSES, class_indices, fit_thresholds
from movie_ratings.movies.record import MOVIE, SPLIT_OF
from movie_ratings.movies.release import add_year

KNOWN: Final = ("id", "title", "release_date", "vote_average")  # what deciding takes
# Fixed once, before any model was trained; choosing it by results would be fitting the test split.
SALT: Final = "split"


def split() -> None:
    options = params.load()
    known = pl.DataFrame(add_year(parquet.read_table(CLEAN, pa.schema([MOVIE.field(name) for name in KNOWN]))))
    fractions = options.split.fractions.model_dump()
    keys = group_keys(known["title"], known["year"])
    if options.split.by == "time":
        places = splits.by_year(known["year"].fill_null(0).to_numpy())
    else:
        places = np.array([position(key, SALT) for key in keys])
    sides = splits.sides_of(places, fractions)
    ratings = known["vote_average"].to_numpy()
    thresholds = fit_thresholds(ratings[sides == "train"], options.labels)
    labels = np.array(CLASSES)[class_indices(ratings, thresholds)]
    splits.require_every_class(sides, labels)
    metrics = splits.summary(keys, sides, labels, thresholds, fractions)

    parquet.write_table(SPLITS, pa.table([known["id"].to_arrow(), pa.array(sides, pa.string())], schema=SPLIT_OF))
    storage.write_json(THRESHOLDS, asdict(thresholds))
    storage.write_json(SPLIT_METRICS, metrics)
    for warning in metrics["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    print("split: " + ", ".join(f"{name} {metrics['rows'][name]:,}" for name in splits.NAMES))


if __name__ == "__main__":
    run_stage(split, [SPLITS, THRESHOLDS, SPLIT_METRICS])
