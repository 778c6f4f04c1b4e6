"""Baseline: fit simpler models on the same fields and track records, with which evaluate compares the model.

Each baseline is fitted on the training split and tuned on the validation split; its settings are those with the lowest
log-loss there. baseline.models lists the baselines, baseline.max_rows limits the movies that they read of each split.

data/baseline/predictions.parquet  the classes that each baseline predicts for the test movies
metrics/details/baseline.json      the scores on the test split and the chosen settings of each baseline
"""

from functools import cache

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from movie_ratings import params
from movie_ratings.core import parquet, storage
from movie_ratings.core.arrays import Floats
from movie_ratings.core.command import run_stage
from movie_ratings.core.paths import BASELINE_DETAILS, BASELINE_PREDICTIONS, OUTSIDE
from movie_ratings.core.rounding import rounded
from movie_ratings.evaluation.baselines import BaselineData, fit
from movie_ratings.evaluation.embeddings import embed
from movie_ratings.evaluation.metrics import scores
from movie_ratings.movies import record, splits
from movie_ratings.movies.labels import CLASSES
from movie_ratings.movies.record import ANSWERS
from movie_ratings.movies.text import TextFormat
from movie_ratings.training.records import features


def baseline() -> None:
    options = params.load()
    tables = [splits.read(split, options.baseline.max_rows) for split in splits.NAMES]
    train, validation, test = (table.to_pylist() for table in tables)
    text = TextFormat(tuple(options.text.fields), options.text.max_length)

    @cache
    def embeddings() -> tuple[Floats, Floats, Floats]:
        ends = np.cumsum([len(train), len(validation)])
        first, second, third = np.split(embed(options.model.name, [*train, *validation, *test], text), ends)
        return first, second, third

    @cache
    def records() -> tuple[Floats, Floats, Floats]:
        outside = parquet.read_table(OUTSIDE, record.OUTSIDE)
        first, second, third = features(
            tables[0], tables[0]["rating"].to_numpy(), outside, options.linear.max_films, *tables[1:]
        )
        return first, second, third

    data = BaselineData(
        train,
        validation,
        test,
        (*text.fields, *options.linear.names),
        splits.read_thresholds(),
        embeddings,
        records if options.linear.records else None,
    )
    details, predictions = {}, []
    for name in tqdm(options.baseline.models, desc="baseline", unit=" models"):
        found = fit(name, data, options)
        details[name] = scores(found.answers) | found.settings
        predicted = [CLASSES[index] for index in found.answers.predicted]
        columns = {"model": [name] * len(test), "id": tables[2]["id"], "label": tables[2]["label"]}
        assert found.answers.ratings is not None  # every baseline predicts ratings
        columns |= {"prediction": predicted, "predicted_rating": found.answers.ratings.predicted}
        predictions.append(pa.table(columns, schema=ANSWERS))
    parquet.write_table(BASELINE_PREDICTIONS, pa.concat_tables(predictions))
    storage.write_json(BASELINE_DETAILS, rounded(details))
    for name, row in details.items():
        print(f"baseline: {name} balanced accuracy {row['balanced_accuracy']:.3f}, macro-F1 {row['macro_f1']:.3f}")


if __name__ == "__main__":
    run_stage(baseline, [BASELINE_PREDICTIONS, BASELINE_DETAILS])
