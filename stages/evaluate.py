"""Evaluate: score the served model on the test split, once, with its calibration and its decision.

Scored are the test movies that the baselines have answered: all, unless baseline.max_rows is less than there are.
metrics/evaluate.json has the headline figures at its top level, with 95% bootstrap intervals, and in groups of their
own: the same movies asked for without their facts, per-class figures, the paired difference to each baseline,
behavioural tests and the noise ceiling. The tables beside it are for plots. The wrong answers with the texts of their
movies go to data/evaluation, for the report.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from sklearn.feature_extraction.text import TfidfVectorizer

from movie_ratings import params
from movie_ratings.core import parquet, storage
from movie_ratings.core.arrays import Floats, Ints, softmax
from movie_ratings.core.command import run_stage
from movie_ratings.core.errors import UserError
from movie_ratings.core.paths import (
    BASELINE_PREDICTIONS,
    EVALUATE_METRICS,
    EVALUATE_TABLES,
    MODEL,
    PREDICTIONS,
    THRESHOLDS,
    WRONG,
)
from movie_ratings.evaluation.behaviour import flips
from movie_ratings.evaluation.ceiling import noise_ceiling
from movie_ratings.evaluation.metrics import (
    confusion,
    coverage,
    intervals,
    paired_difference,
    per_class,
    reliability,
    scores,
    trade_off,
)
from movie_ratings.evaluation.slices import slices
from movie_ratings.movies import splits
from movie_ratings.movies.labels import CLASSES, label_indices, label_shares
from movie_ratings.movies.record import ANSWERS
from movie_ratings.movies.text import compose, facts_among, without
from movie_ratings.params import Evaluate
from movie_ratings.prediction.classifier import Classifier

SHOWN = 30  # wrong answers in the report, the most confident first
TRIED = 200  # movies of each behavioural test
NEIGHBOURS = 50_000  # training movies, at most, among which a similar one is looked for


def evaluate() -> None:
    options = params.load().evaluate
    answered = parquet.read_table(BASELINE_PREDICTIONS, ANSWERS)
    count = pa.compute.count_distinct(answered["id"]).as_py()
    train, test = splits.read("train", NEIGHBOURS), splits.read("test", count)
    if test.num_rows == 0:
        raise UserError("evaluate: the test split has no rows")
    classifier = Classifier.load()
    thresholds = splits.read_thresholds()
    if classifier.metadata.thresholds != thresholds:
        raise UserError(f"{MODEL}: trained with other class thresholds than {THRESHOLDS}; run `dvc repro`")
    movies, labels = test.to_pylist(), label_indices(test["label"].to_pylist())
    shares = label_shares(label_indices(train["label"].to_pylist()))
    logits = classifier.logits(movies)
    probabilities, predicted = classifier.decide(movies, logits)
    # As the transformer was trained to say it, before anything was fitted on validation.
    uncalibrated = softmax(logits[0])
    before = scores(labels, predicted, uncalibrated)

    found = report(labels, predicted, probabilities, _baseline_answers(answered, test), options)
    found |= {
        "without_facts": _without_facts(classifier, movies, labels, options),
        "before_calibration": {name: before[name] for name in ("log_loss", "expected_calibration_error")},
        "answers_changed_by": flips(classifier, movies[:TRIED], predicted[:TRIED], options.seed),
        "noise_ceiling": noise_ceiling(
            test["rating"].to_numpy(), test["vote_count"].fill_null(0).to_numpy(), thresholds, options.seed
        ),
    }
    storage.write_json(EVALUATE_METRICS, found)
    answers = [CLASSES[index] for index in predicted]
    _write_csv(
        PREDICTIONS,
        {"id": test["id"].to_pylist(), "actual": test["label"].to_pylist(), "predicted": answers}
        | {f"probability_{name}": probabilities[:, k].round(6).tolist() for k, name in enumerate(CLASSES)},
    )
    tables = {
        "reliability": reliability(labels, probabilities),
        "reliability_before": reliability(labels, uncalibrated),
        "per_class": [{"class": name} | found["per_class"][name] for name in CLASSES],
        "coverage": coverage(labels, predicted, probabilities),
        "trade_off": trade_off(labels, probabilities, shares),
        "slices": slices(movies, labels, predicted, options.bootstrap, options.seed),
    }
    with storage.whole(EVALUATE_TABLES) as folder:
        folder.mkdir()
        for name, rows in tables.items():
            keys = list(rows[0]) if rows else []
            _write_csv(folder / f"{name}.csv", {key: [row[key] for row in rows] for key in keys})
    storage.write_json(WRONG, _wrong(train.to_pylist(), movies, labels, predicted, probabilities, classifier))
    print(f"evaluate: balanced accuracy {found['balanced_accuracy']:.3f}, macro-F1 {found['macro_f1']:.3f}")


def report(
    labels: Ints, predicted: Ints, probabilities: Floats, baselines: dict[str, Ints], options: Evaluate
) -> dict[str, Any]:
    """The figures of one set of answers, with intervals and the paired difference to other sets."""
    drawn = (options.bootstrap, options.seed)
    return scores(labels, predicted, probabilities) | {
        "rows": len(labels),
        "interval_95": intervals(labels, predicted, *drawn),
        "per_class": per_class(labels, predicted),
        "confusion": confusion(labels, predicted),
        "minus_baseline": {
            name: paired_difference(labels, predicted, other, *drawn) for name, other in baselines.items()
        },
    }


def _without_facts(
    classifier: Classifier, movies: list[dict[str, Any]], labels: Ints, options: Evaluate
) -> dict[str, Any]:
    """What the same checkpoint says of the same movies when it is told title, genres and summary alone."""
    facts = facts_among(classifier.metadata.text.fields)
    probabilities, predicted = classifier.answer([without(movie, facts) for movie in movies])
    found = report(labels, predicted, probabilities, {}, options)
    return {name: value for name, value in found.items() if name != "minus_baseline"}


def _baseline_answers(table: pa.Table, test: pa.Table) -> dict[str, Ints]:
    answers: dict[str, Ints] = {}
    for name in dict.fromkeys(table["model"].to_pylist()):
        rows = table.filter(pa.compute.equal(table["model"], name))
        if rows["id"].to_pylist() != test["id"].to_pylist():
            raise UserError(
                f"{BASELINE_PREDICTIONS}: {name} answered other movies than the test split has; run `dvc repro`"
            )
        answers[name] = label_indices(rows["prediction"].to_pylist())
    return answers


def _write_csv(path: Any, columns: dict[str, list[Any]]) -> None:
    with storage.whole(path) as temporary:
        pa.csv.write_csv(pa.table(columns), temporary, pa.csv.WriteOptions(quoting_style="needed"))


def _wrong(
    train: list[dict[str, Any]],
    movies: list[dict[str, Any]],
    labels: Ints,
    predicted: Ints,
    probabilities: Floats,
    classifier: Classifier,
) -> dict[str, Any]:
    """The most confident wrong answers, and beside each the training movie with the most similar words."""
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")][:SHOWN]
    fields = classifier.metadata.text.fields
    vectorizer = TfidfVectorizer(sublinear_tf=True, stop_words="english")
    known = vectorizer.fit_transform([compose(movie, fields) for movie in train])
    asked = vectorizer.transform([compose(movies[row], fields) for row in worst] or [""])
    nearest = (asked @ known.T).toarray().argmax(axis=1)
    return {
        "wrong": len(wrong),
        "of": len(movies),
        "shown": [
            {name: movies[row][name] for name in ("title", "genres", "summary", "rating", "label")}
            | {"answer": CLASSES[predicted[row]], "probability": float(probabilities[row, predicted[row]])}
            | {"nearest": {name: train[near][name] for name in ("title", "genres", "rating", "label")}}
            for row, near in zip(worst.tolist(), nearest.tolist(), strict=False)
        ],
    }


if __name__ == "__main__":
    run_stage(evaluate, [EVALUATE_METRICS, PREDICTIONS, EVALUATE_TABLES, WRONG])
