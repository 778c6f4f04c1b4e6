"""Cross-validation: the pipeline's model and the baselines over five folds of films, every row answered once.

Reads data/clean/movies.parquet and params.yaml; writes benchmarks/crossval.json, or crossval-SOURCE.json for another
source than the sample. In each fold, thresholds, C, epoch, calibration and decision are chosen without its rows.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from stages import params, parquet, storage
from stages.baseline import fit
from stages.classifier import Classifier
from stages.command import run_stage
from stages.decision import Ints
from stages.export import export_checkpoint
from stages.groups import group_key, position
from stages.labels import CLASSES, class_indices, fit_thresholds
from stages.metrics import answer_scores, bootstrap, fast_scores
from stages.schema import LABELLED, MOVIE
from stages.train import fine_tune

FOLDS = 5
VALIDATION = 0.15  # of the rows outside the fold
WORK = Path("data/crossval")


def main() -> None:
    options = params.load()
    movies = pl.DataFrame(parquet.read_table("data/clean/movies.parquet", MOVIE))
    keys = [group_key(title, day) for title, day in movies.select("title", "release_date").iter_rows()]
    folds = np.array([int(position(key, "fold") * FOLDS) for key in keys])
    validation = np.array([position(key, "fold-validation") < VALIDATION for key in keys])
    ratings = movies["vote_average"].to_numpy()
    labels = np.zeros(len(movies), dtype=np.int64)
    answers = {name: np.zeros_like(labels) for name in ("transformer", *options.baseline.models)}
    for fold in range(FOLDS):
        test, held = folds == fold, (folds != fold) & validation
        train = ~test & ~held
        thresholds = fit_thresholds(ratings[train], options.labels)
        labels[test] = class_indices(ratings[test], thresholds)
        named = movies.with_columns(
            rating=pl.col("vote_average"),
            label=pl.Series([CLASSES[i] for i in class_indices(ratings, thresholds)], dtype=pl.String),
        )
        train_rows, held_rows, test_rows = (_rows(named, rows) for rows in (train, held, test))
        for name in options.baseline.models:
            answers[name][test] = fit(name, train_rows, held_rows, test_rows, options).predicted
        fine_tune(train_rows, held_rows, thresholds, {"fold": str(fold)}, options, WORK / "state", WORK / "checkpoint")
        export_checkpoint(WORK / "checkpoint", WORK / "served", held_rows, options.export.variant)
        predictions = Classifier.load(WORK / "served").predict(test_rows.to_pylist())
        answers["transformer"][test] = [CLASSES.index(prediction.label) for prediction in predictions]
        done = folds <= fold
        print(
            fold, {name: answer_scores(labels[done], found[done]) for name, found in answers.items()}, file=sys.stderr
        )
    shutil.rmtree(WORK)
    source = options.fetch.source
    storage.write_json(
        "benchmarks/crossval.json" if source == "sample" else f"benchmarks/crossval-{source}.json",
        {"source": source, "rows": len(movies), "folds": FOLDS} | _report(labels, answers, options),
    )


def _rows(movies: pl.DataFrame, rows: np.ndarray) -> pa.Table:
    return movies.filter(pl.Series(rows)).to_arrow().cast(LABELLED)


def _report(labels: Ints, answers: dict[str, Ints], options: params.Params) -> dict[str, Any]:
    samples, seed = options.evaluate.bootstrap, options.evaluate.seed
    models = {
        name: answer_scores(labels, found)
        | {"interval_95": bootstrap(len(labels), lambda i, f=found: fast_scores(labels[i], f[i]), samples, seed)}  # type: ignore[misc]
        for name, found in answers.items()
    }
    ours = answers["transformer"]

    def difference(rows: Ints, other: Ints) -> dict[str, float]:
        mine, theirs = fast_scores(labels[rows], ours[rows]), fast_scores(labels[rows], other[rows])
        return {name: mine[name] - theirs[name] for name in mine}

    return {
        "models": models,
        "transformer_minus": {
            name: {
                "difference": difference(np.arange(len(labels)), found),
                "interval_95": bootstrap(len(labels), lambda i, f=found: difference(i, f), samples, seed),  # type: ignore[misc]
            }
            for name, found in answers.items()
            if name != "transformer"
        },
    }


if __name__ == "__main__":
    run_stage(main, [str(WORK), "benchmarks/crossval.json"])
