"""Baseline: what a transformer has to beat: the majority class, and TF-IDF with logistic regression.

C is chosen on the validation split, where the probabilities are calibrated and the decision is fitted exactly as the
transformer's are. The answers on the test split go to data/baseline/predictions.parquet, for evaluate to compare.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from tqdm import tqdm

from stages import params, parquet, storage
from stages.calibration import fit_calibration, fit_decision
from stages.command import run_stage
from stages.decision import Floats, Ints
from stages.labels import CLASSES
from stages.metrics import scores
from stages.params import BaselineName, Params
from stages.schema import LABELLED
from stages.split import SPLITS
from stages.text import compose

OUTPUT = "data/baseline/predictions.parquet"
METRICS = "metrics/baseline.json"

PREDICTIONS = pa.schema(
    [("model", pa.string()), ("id", pa.int64()), ("label", pa.string()), ("prediction", pa.string())]
)


@dataclass(frozen=True)
class Answers:
    """A baseline's answers on the rows to score: class indices (rows,), probabilities (rows, classes), its choices."""

    predicted: Ints
    probabilities: Floats
    chosen: dict[str, float]


def baseline() -> None:
    options = params.load()
    train, validation, test = (parquet.read_table(f"data/split/{name}.parquet", LABELLED) for name in SPLITS)
    labels = label_indices(test)
    metrics: dict[str, Any] = {}
    tables = []
    for name in options.baseline.models:
        answers = fit(name, train, validation, test, options)
        metrics[name] = scores(labels, answers.predicted, answers.probabilities) | answers.chosen
        predicted = [CLASSES[index] for index in answers.predicted]
        columns = [[name] * len(labels), test["id"], test["label"], predicted]
        tables.append(
            pa.Table.from_arrays([pa.array(c) if isinstance(c, list) else c for c in columns], schema=PREDICTIONS)
        )
    parquet.write_table(OUTPUT, pa.concat_tables(tables))
    storage.write_json(METRICS, metrics)
    for model, figures in metrics.items():
        accuracy, macro_f1 = figures["balanced_accuracy"], figures["macro_f1"]
        print(f"baseline: {model} balanced accuracy {accuracy:.3f}, macro-F1 {macro_f1:.3f}")


def fit(name: BaselineName, train: pa.Table, validation: pa.Table, test: pa.Table, options: Params) -> Answers:
    """Fit the baseline ``name`` on ``train``, choose on ``validation``, answer ``test``."""
    shares = np.bincount(label_indices(train), minlength=len(CLASSES)) / len(train)
    if name == "majority":
        return Answers(np.full(len(test), shares.argmax()), np.tile(shares, (len(test), 1)), {})
    texts = [_texts(table, options.text.fields) for table in (train, validation, test)]
    return _tfidf_logreg(texts, label_indices(train), label_indices(validation), shares, options)


def label_indices(table: pa.Table) -> Ints:
    """The labels of a split as indices into ``CLASSES``."""
    return np.array([CLASSES.index(label) for label in table["label"].to_pylist()], dtype=np.int64)


def _tfidf_logreg(texts: list[list[str]], train: Ints, validation: Ints, shares: Floats, options: Params) -> Answers:
    candidates = []
    for c in tqdm(options.baseline.c, desc="baseline", unit=" fits"):
        model = make_pipeline(
            TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2)),
            # A rare class counts as much as a common one; calibration gives the shares back.
            LogisticRegression(C=c, class_weight="balanced", max_iter=2_000),
        ).fit(texts[0], train)
        logits = model.decision_function(texts[1])
        calibration = fit_calibration(logits, validation)
        loss = log_loss(validation, calibration.probabilities(logits), labels=range(len(CLASSES)))
        candidates.append((loss, c, model, calibration))
    _, c, model, calibration = min(candidates, key=lambda candidate: candidate[0])
    decision = fit_decision(options.decision.rule, calibration.probabilities(model.decision_function(texts[1])), shares)
    probabilities = calibration.probabilities(model.decision_function(texts[2]))
    return Answers(decision.classes(probabilities), probabilities, {"c": c, "decision_strength": decision.strength})


def _texts(table: pa.Table, fields: Sequence[str]) -> list[str]:
    return [compose(movie, fields) for movie in table.select(fields).to_pylist()]


if __name__ == "__main__":
    run_stage(baseline, [OUTPUT, METRICS])
