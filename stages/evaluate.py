"""Evaluate: score the served model on the test split, once, with its calibration and its decision.

metrics/evaluate.json has the headline figures at its top level, with 95% bootstrap intervals, per-class figures and
the paired difference to each baseline in groups of their own. The page with the misclassified movies, which holds
their texts, is data/reports/evaluate.html.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from stages import figures, params, parquet, storage
from stages.baseline import OUTPUT as BASELINES
from stages.baseline import PREDICTIONS, label_indices
from stages.classifier import MODEL, Classifier
from stages.command import run_stage
from stages.decision import Floats, Ints
from stages.errors import UserError
from stages.labels import CLASSES, Thresholds
from stages.metrics import bootstrap, confusion, fast_scores, per_class, reliability, scores
from stages.params import Evaluate
from stages.schema import LABELLED

TEST = "data/split/test.parquet"
THRESHOLDS = "data/split/thresholds.json"
METRICS = "metrics/evaluate.json"
PREDICTED = "metrics/predictions.csv"
RELIABILITY = "metrics/reliability.csv"
PER_CLASS = "metrics/per_class.csv"
REPORT = "data/reports/evaluate.html"

SHOWN = 50  # misclassified movies on the page, the most confident first


def evaluate() -> None:
    options = params.load().evaluate
    test = parquet.read_table(TEST, LABELLED)
    if test.num_rows == 0:
        raise UserError(f"{TEST}: no rows to evaluate on")
    classifier = Classifier.load()
    if classifier.metadata.thresholds != Thresholds(**storage.read_json(THRESHOLDS)):
        raise UserError(f"{MODEL}: trained with other class thresholds than {THRESHOLDS}; run `dvc repro`")
    labels = label_indices(test)
    predictions = classifier.predict(test.to_pylist())
    predicted = np.array([CLASSES.index(prediction.label) for prediction in predictions])
    probabilities = np.array([list(prediction.probabilities.values()) for prediction in predictions])
    baselines = _baseline_answers(test)

    found = report(labels, predicted, probabilities, baselines, options)
    storage.write_json(METRICS, found)
    answers = [CLASSES[index] for index in predicted]
    _write_csv(
        PREDICTED,
        {"id": test["id"].to_pylist(), "actual": test["label"].to_pylist(), "predicted": answers}
        | {f"probability_{name}": probabilities[:, k].round(6).tolist() for k, name in enumerate(CLASSES)},
    )
    bins = reliability(labels, probabilities)
    _write_csv(RELIABILITY, {key: [b[key] for b in bins] for key in ("confidence", "accuracy", "rows")})
    kinds = {kind: [found["per_class"][name][kind] for name in CLASSES] for kind in ("precision", "recall", "f1")}
    _write_csv(PER_CLASS, {"class": list(CLASSES)} | kinds)
    _write_page(test, predicted, probabilities, found, bins)
    print(f"evaluate: balanced accuracy {found['balanced_accuracy']:.3f}, macro-F1 {found['macro_f1']:.3f}")


def report(
    labels: Ints, predicted: Ints, probabilities: Floats, baselines: dict[str, Ints], options: Evaluate
) -> dict[str, Any]:
    """What metrics/evaluate.json holds."""
    rows = len(labels)

    def paired(other: Ints) -> Callable[[Ints], dict[str, float]]:
        def difference(drawn: Ints) -> dict[str, float]:
            mine, theirs = (fast_scores(labels[drawn], answers[drawn]) for answers in (predicted, other))
            return {name: mine[name] - theirs[name] for name in mine}

        return difference

    def interval(figure: Callable[[Ints], dict[str, float]]) -> dict[str, Any]:
        return bootstrap(rows, figure, options.bootstrap, options.seed)

    return scores(labels, predicted, probabilities) | {
        "rows": rows,
        "interval_95": interval(lambda drawn: fast_scores(labels[drawn], predicted[drawn])),
        "per_class": per_class(labels, predicted),
        "confusion": confusion(labels, predicted),
        "minus_baseline": {
            name: {"difference": paired(other)(np.arange(rows)), "interval_95": interval(paired(other))}
            for name, other in baselines.items()
        },
    }


def _baseline_answers(test: pa.Table) -> dict[str, Ints]:
    table = parquet.read_table(BASELINES, PREDICTIONS)
    answers: dict[str, Ints] = {}
    for name in dict.fromkeys(table["model"].to_pylist()):
        rows = table.filter(pa.compute.equal(table["model"], name))
        if rows["id"].to_pylist() != test["id"].to_pylist():
            raise UserError(f"{BASELINES}: {name} answered other movies than {TEST} holds; run `dvc repro`")
        answers[name] = np.array([CLASSES.index(label) for label in rows["prediction"].to_pylist()])
    return answers


def _write_csv(path: str, columns: dict[str, list[Any]]) -> None:
    with storage.whole(path) as temporary:
        pa.csv.write_csv(pa.table(columns), temporary, pa.csv.WriteOptions(quoting_style="needed"))


def _write_page(
    test: pa.Table, predicted: Ints, probabilities: Floats, found: dict[str, Any], bins: list[dict[str, float]]
) -> None:
    wrong = np.flatnonzero(predicted != label_indices(test))
    worst = wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")][:SHOWN]
    misclassified = [
        test.slice(int(row), 1).to_pylist()[0]
        | {"answer": CLASSES[predicted[row]], "probability": float(probabilities[row, predicted[row]])}
        for row in worst
    ]
    figures.write_page(
        REPORT,
        "evaluate.html.j2",
        found=found,
        classes=CLASSES,
        misclassified=misclassified,
        wrong=len(wrong),
        confusion=figures.confusion(found["confusion"], CLASSES),
        reliability=figures.reliability(bins),
    )


if __name__ == "__main__":
    run_stage(evaluate, [METRICS, PREDICTED, RELIABILITY, PER_CLASS, REPORT])
