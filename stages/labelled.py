"""The movies of a split with their labels: rows of data/clean/movies.parquet, chosen by data/split/splits.parquet.

The split is stored as ids beside the names of splits, so that a million movies are on the disk once.
"""

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages import parquet, storage
from stages.errors import UserError
from stages.labels import CLASSES, Thresholds, class_indices
from stages.schema import LABELLED, MOVIE, SPLIT_OF

MOVIES: Final = "data/clean/movies.parquet"
SPLIT: Final = "data/split/splits.parquet"
THRESHOLDS: Final = "data/split/thresholds.json"
SPLITS: Final = ("train", "validation", "test")


def read(split: str, most: int | None = None) -> pa.Table:
    """The movies of a split; ``most`` at most, spread evenly over it.

    Raises:
        UserError: a file is missing or not what its stage writes, or the split is of other movies than there are.
    """
    stored = parquet.read_table(SPLIT, SPLIT_OF)
    ids = stored["id"].to_numpy()
    rows = np.flatnonzero(pc.equal(stored["split"], split).to_numpy())
    wanted = rows if most is None else rows[parquet.spread(len(rows), most)]
    thresholds = read_thresholds()
    first, parts = 0, []
    for batch in parquet.read_batches(MOVIES, MOVIE):
        if not np.array_equal(batch["id"].to_numpy(), ids[first : first + len(batch)]):
            break
        parts.append(label(batch.take(parquet.within(wanted, first, len(batch))), thresholds))
        first += len(batch)
    if first != len(ids):
        raise UserError(f"{SPLIT}: of other movies than {MOVIES}; run `dvc repro`")
    return pa.Table.from_batches(parts, LABELLED)


def read_thresholds() -> Thresholds:
    """The thresholds between the classes, which the split stage fitted on the training split.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    return Thresholds(**storage.read_json(THRESHOLDS))


def label(movies: pa.RecordBatch, thresholds: Thresholds) -> pa.RecordBatch:
    """The movies with the rating that the label is made of, and the label."""
    ratings = movies["vote_average"]
    labels = np.array(CLASSES)[class_indices(ratings.to_numpy(), thresholds)]
    return pa.RecordBatch.from_arrays([*movies.columns, ratings, pa.array(labels, pa.string())], schema=LABELLED)


def origin() -> dict[str, str]:
    """The hashes of the files that the movies of a split come from, by path."""
    return {path: storage.sha256(path) for path in (MOVIES, SPLIT, THRESHOLDS)}
