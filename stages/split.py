"""Split: train, validation and test by a hash of the film, or by time, and the label of every movie.

data/clean/movies.parquet → data/split/splits.parquet, the split of each movie, and data/split/thresholds.json. The hash
is of the normalised title and the year, with a fixed salt, so a film never changes sides when data is fetched anew. By
time, whole years are on one side, the newest in test: that tells how a model ages. The thresholds between bad, average
and good are fitted on the training split alone.
"""

import sys
from dataclasses import asdict
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from stages import params, parquet, storage
from stages.command import run_stage
from stages.errors import UserError
from stages.groups import group_keys, position
from stages.labelled import MOVIES, SPLIT, SPLITS, THRESHOLDS
from stages.labels import CLASSES, Thresholds, class_indices, fit_thresholds
from stages.params import Fractions
from stages.schema import MOVIE, SPLIT_OF

METRICS = "metrics/split.json"

KNOWN: Final = ("id", "title", "release_date", "vote_average")  # what deciding takes
# Fixed once, before any model was trained; choosing it by results would be fitting the test split.
SALT: Final = "split"


def split() -> None:
    options = params.load()
    known = pl.DataFrame(parquet.read_table(MOVIES, pa.schema([MOVIE.field(name) for name in KNOWN])))
    keys = group_keys(known["title"], known["release_date"])
    if options.split.by == "time":
        places = by_year(known["release_date"].dt.year().fill_null(0).to_numpy())
    else:
        places = np.array([position(key, SALT) for key in keys])
    sides = sides_of(places, options.split.fractions)
    ratings = known["vote_average"].to_numpy()
    thresholds = fit_thresholds(ratings[sides == "train"], options.labels)
    labels = np.array(CLASSES)[class_indices(ratings, thresholds)]
    require_every_class(sides, labels)
    metrics = summary(keys, sides, labels, thresholds, options.split.fractions)

    parquet.write_table(SPLIT, pa.table([known["id"].to_arrow(), pa.array(sides, pa.string())], schema=SPLIT_OF))
    storage.write_json(THRESHOLDS, asdict(thresholds))
    storage.write_json(METRICS, metrics)
    for warning in metrics["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    print("split: " + ", ".join(f"{name} {metrics['rows'][name]:,}" for name in SPLITS))


def sides_of(places: npt.NDArray[np.float64], fractions: Fractions) -> np.ndarray:
    """The split of each film, by where it stands in [0, 1)."""
    ends = [fractions.train, fractions.train + fractions.validation]
    return np.array(SPLITS)[np.searchsorted(ends, places, side="right")]


def by_year(years: np.ndarray) -> npt.NDArray[np.float64]:
    """Where each movie stands in [0, 1) by its year of release: the share of movies that are older.

    All movies of a year stand at one place, so that no film is on two sides. Unknown years (0) are the oldest.
    """
    places: npt.NDArray[np.float64] = np.searchsorted(np.sort(years), years) / len(years)
    return places


def require_every_class(sides: np.ndarray, labels: np.ndarray) -> None:
    """Refuse a split that lacks a class: it could be neither trained on nor measured.

    Raises:
        UserError: naming the split and the class.
    """
    for name in SPLITS:
        for label in CLASSES:
            if not np.any(labels[sides == name] == label):
                raise UserError(
                    f"the {name} split has no movie labelled {label!r} ({np.sum(sides == name)} rows); "
                    "fetch more movies or change labels.scheme or split.fractions"
                )


def summary(
    keys: pl.Series, sides: np.ndarray, labels: np.ndarray, thresholds: Thresholds, fractions: Fractions
) -> dict[str, Any]:
    """Sizes, thresholds and class shares, with a warning for each share that chance alone would hardly give."""
    rows = {name: int(np.sum(sides == name)) for name in SPLITS}
    shares = {name: {c: float(np.mean(labels[sides == name] == c)) for c in CLASSES} for name in SPLITS}
    homes = pl.DataFrame({"film": keys, "side": sides.astype(object)}, schema_overrides={"side": pl.String})
    across = homes.unique().height - homes["film"].n_unique()
    warnings = [
        f"{name} has {rows[name] / len(keys):.1%} of the rows, {fraction:.1%} expected"
        for name, fraction in fractions.model_dump().items()
        if _far(rows[name] / len(keys), fraction, len(keys))
    ]
    warnings += [
        f"{share:.1%} of {name} is {label}, {shares['train'][label]:.1%} of train"
        for name in SPLITS[1:]
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


if __name__ == "__main__":
    run_stage(split, [SPLIT, THRESHOLDS, METRICS])
