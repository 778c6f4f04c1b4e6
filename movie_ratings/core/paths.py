"""Where the pipeline's files are, relative to the root of the repository, as dvc.yaml has them."""

from typing import Final

INPUTS: Final = "inputs"  # tables of the user's own

RAW: Final = "data/raw/movies.parquet"
FAILED: Final = "data/raw/failed.jsonl"
CLEAN: Final = "data/clean/movies.parquet"
SPLITS: Final = "data/split/splits.parquet"
THRESHOLDS: Final = "data/split/thresholds.json"
BASELINE_PREDICTIONS: Final = "data/baseline/predictions.parquet"
WRONG: Final = "data/evaluation/wrong.json"
EXPLORE_PAGE: Final = "data/reports/explore.html"
REPORT_PAGE: Final = "data/reports/report.html"

CHECKPOINT: Final = "models/checkpoint"
MODEL: Final = "models/movie-rating"  # the folder that is served

FETCH_METRICS: Final = "metrics/fetch.json"
CLEAN_METRICS: Final = "metrics/clean.json"
EXPLORE_TABLES: Final = "metrics/explore"
SPLIT_METRICS: Final = "metrics/split.json"
BASELINE_METRICS: Final = "metrics/baseline.json"
TRAIN_METRICS: Final = "metrics/train.json"
CURVES: Final = "metrics/curves"
EXPORT_METRICS: Final = "metrics/export.json"
EVALUATE_METRICS: Final = "metrics/evaluate.json"
EVALUATE_TABLES: Final = "metrics/evaluate"
PREDICTIONS: Final = "metrics/predictions.csv"

STUDIES: Final = ("benchmarks/results/study-sample.json", "benchmarks/results/study-wikidata.json")

# Outside every output of DVC: what a killed command leaves for the next one.
STORE: Final = "data/store"
LOCKS: Final = "data/locks"
TRAIN_STATE: Final = "data/train-state"
