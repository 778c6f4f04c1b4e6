"""Baseline: what the model has to beat, each tuned on the validation split, on the same fields.

Their settings have the least log-loss on validation, where their probabilities are calibrated and their decision is
fitted exactly as the model's are. Of each split they see baseline.max_rows movies at most. The answers on the test
split go to data/baseline/predictions.parquet, for evaluate to compare.
"""

from typing import Any

import pyarrow as pa
from tqdm import tqdm

from movie_ratings import params
from movie_ratings.core import parquet, storage
from movie_ratings.core.arrays import Floats
from movie_ratings.core.command import run_stage
from movie_ratings.core.paths import BASELINE_METRICS, BASELINE_PREDICTIONS
from movie_ratings.evaluation.baselines import Data, fit
from movie_ratings.evaluation.embeddings import embed
from movie_ratings.evaluation.metrics import scores
from movie_ratings.movies import splits
from movie_ratings.movies.labels import CLASSES
from movie_ratings.movies.record import ANSWERS
from movie_ratings.movies.text import TextFormat


def baseline() -> None:
    options = params.load()
    tables = [splits.read(split, options.baseline.max_rows) for split in splits.NAMES]
    train, validation, test = (table.to_pylist() for table in tables)
    text = TextFormat(tuple(options.text.fields), options.text.max_length)
    embedded: list[Floats] = []

    def embeddings() -> tuple[Floats, Floats, Floats]:
        if not embedded:
            embedded.append(embed(options.model.name, [*train, *validation, *test], text))
        first, second = len(train), len(train) + len(validation)
        return embedded[0][:first], embedded[0][first:second], embedded[0][second:]

    data = Data(train, validation, test, text.fields, splits.read_thresholds(), embeddings)
    labels = data.labels(test)
    metrics: dict[str, Any] = {}
    found = []
    for name in tqdm(options.baseline.models, desc="baseline", unit=" models"):
        answers = fit(name, data, options)
        metrics[name] = scores(labels, answers.predicted, answers.probabilities) | answers.chosen
        predicted = [CLASSES[index] for index in answers.predicted]
        columns = [[name] * len(labels), tables[2]["id"], tables[2]["label"], predicted]
        found.append(pa.Table.from_arrays([pa.array(c) if isinstance(c, list) else c for c in columns], schema=ANSWERS))
    parquet.write_table(BASELINE_PREDICTIONS, pa.concat_tables(found))
    storage.write_json(BASELINE_METRICS, metrics)
    for model, figures in metrics.items():
        accuracy, macro_f1 = figures["balanced_accuracy"], figures["macro_f1"]
        print(f"baseline: {model} balanced accuracy {accuracy:.3f}, macro-F1 {macro_f1:.3f}")


if __name__ == "__main__":
    run_stage(baseline, [BASELINE_PREDICTIONS, BASELINE_METRICS])
