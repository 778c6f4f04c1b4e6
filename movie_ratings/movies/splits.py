"""Which movie is in which split, and the movies of a split with their labels.

The split is stored as a table of ids and names of splits, so that a million movies are on the disk only once.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from movie_ratings.core import parquet, storage
from movie_ratings.core.errors import UserError
from movie_ratings.core.paths import CLEAN, OUTSIDE, SPLITS, THRESHOLDS
from movie_ratings.movies.labels import CLASSES, Thresholds, class_indices
from movie_ratings.movies.record import LABELLED, MOVIE, SPLIT_OF
from movie_ratings.movies.release import add_year
from movie_ratings.movies.rows import evenly_spaced, within

NAMES: Final = ("train", "validation", "test")


def read(split: str, most: int | None = None) -> pa.Table:
    """The movies of a split; at most ``most`` of them, evenly spaced.

    Raises:
        UserError: a file is missing or not what its stage writes, or the split is of other movies than there are.
    """
    stored = parquet.read_table(SPLITS, SPLIT_OF)
    ids = stored["id"].to_numpy()
    rows = np.flatnonzero(pc.equal(stored["split"], split).to_numpy())
    wanted = rows if most is None else rows[evenly_spaced(len(rows), most)]
    thresholds = read_thresholds()
    first, parts = 0, []
    for batch in parquet.read_batches(CLEAN, MOVIE):
        if not np.array_equal(batch["id"].to_numpy(), ids[first : first + len(batch)]):
            break
        parts.append(label(batch.take(within(wanted, first, len(batch))), thresholds))
        first += len(batch)
    if first != len(ids):
        raise UserError(f"{SPLITS}: of other movies than {CLEAN}; run `dvc repro`")
    return pa.Table.from_batches(parts, LABELLED)


def read_thresholds() -> Thresholds:
    """The thresholds between the classes, which the split stage fitted on the training split.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    return Thresholds(**storage.read_json(THRESHOLDS))


def label(movies: pa.RecordBatch, thresholds: Thresholds) -> pa.RecordBatch:
    """The movies of `record.MOVIE` with their year, their rating and the label that follows from it."""
    ratings = movies["vote_average"]
    labels = np.array(CLASSES)[class_indices(ratings.to_numpy(), thresholds)]
    columns = [*add_year(movies).columns, ratings, pa.array(labels, pa.string())]
    return pa.RecordBatch.from_arrays(columns, schema=LABELLED)


def origin() -> dict[str, str]:
    """The hashes of the files that the movies of a split come from, by path."""
    return {path: storage.sha256(path) for path in (CLEAN, SPLITS, THRESHOLDS, OUTSIDE)}


def sides_of(places: npt.NDArray[np.float64], fractions: Mapping[str, float]) -> np.ndarray:
    """The name of the split of each movie, by its place in [0, 1); both (movies,)."""
    ends = [fractions["train"], fractions["train"] + fractions["validation"]]
    return np.array(NAMES)[np.searchsorted(ends, places, side="right")]


def by_year(years: np.ndarray) -> npt.NDArray[np.float64]:
    """The place of each movie in [0, 1) by its year of release: the share of movies from earlier years.

    All movies of a year have the same place, so that no film is in two splits. Unknown years (0) come first.
    """
    places: npt.NDArray[np.float64] = np.searchsorted(np.sort(years), years) / len(years)
    return places


def require_every_class(sides: np.ndarray, labels: np.ndarray) -> None:
    """Check that each split has a movie of each class; without one, training or evaluation is impossible.

    Raises:
        UserError: naming the split and the class.
    """
    for name in NAMES:
        for label in CLASSES:
            if not np.any(labels[sides == name] == label):
                raise UserError(
                    f"the {name} split has no movie labelled {label!r} ({np.sum(sides == name)} rows); "
                    "fetch more movies or change labels.scheme or split.fractions"
                )


def summary(
    keys: pl.Series, sides: np.ndarray, labels: np.ndarray, thresholds: Thresholds, fractions: Mapping[str, float]
) -> dict[str, Any]:
    """Sizes, thresholds and class shares, with a warning for each share that is unlikely to be chance."""
    rows = {name: int(np.sum(sides == name)) for name in NAMES}
    shares = {name: {c: float(np.mean(labels[sides == name] == c)) for c in CLASSES} for name in NAMES}
    homes = pl.DataFrame({"film": keys, "side": sides.astype(object)}, schema_overrides={"side": pl.String})
    across = homes.unique().height - homes["film"].n_unique()
    warnings = [
        f"{name} has {rows[name] / len(keys):.1%} of the rows, {fraction:.1%} expected"
        for name, fraction in fractions.items()
        if _far(rows[name] / len(keys), fraction, len(keys))
    ]
    warnings += [
        f"{share:.1%} of {name} is {label}, {shares['train'][label]:.1%} of train"
        for name in NAMES[1:]
        for label, share in shares[name].items()
        if _far(share, shares["train"][label], rows[name])
    ]
    return {
        "rows": rows,
        "thresholds": asdict(thresholds),
        "class_shares": shares,
        "groups_across_splits": across,
        "warnings": warnings,
    }


def _far(share: float, expected: float, rows: int) -> bool:
    """Whether a share is more than three standard errors from what is expected."""
    return abs(share - expected) > 3 * (expected * (1 - expected) / rows) ** 0.5
