"""Where the pipeline's files are, relative to the root of the repository, as dvc.yaml has them."""

from typing import Final

INPUTS: Final = "inputs"  # tables of the user's own

RAW: Final = "data/raw/movies.parquet"
FAILED: Final = "data/raw/failed.jsonl"
CLEAN: Final = "data/clean/movies.parquet"
OUTSIDE: Final = "data/history/films.parquet"
SPLITS: Final = "data/split/splits.parquet"
THRESHOLDS: Final = "data/split/thresholds.json"
BASELINE_PREDICTIONS: Final = "data/baseline/predictions.parquet"
WRONG: Final = "data/evaluation/wrong.json"
EXPLORE_PAGE: Final = "data/reports/explore.html"
REPORT_PAGE: Final = "data/reports/report.html"

CHECKPOINT: Final = "models/checkpoint"
MODEL: Final = "models/movie-rating"  # the folder that is served

# What DVC lists as metrics: the few figures that experiments are compared by.
TRAIN_METRICS: Final = "metrics/train.json"
EVALUATE_METRICS: Final = "metrics/evaluate.json"

# All other figures, which reports, plots and the model card read.
FETCH_DETAILS: Final = "metrics/details/fetch.json"
CLEAN_DETAILS: Final = "metrics/details/clean.json"
HISTORY_DETAILS: Final = "metrics/details/history.json"
SPLIT_DETAILS: Final = "metrics/details/split.json"
BASELINE_DETAILS: Final = "metrics/details/baseline.json"
TRAIN_DETAILS: Final = "metrics/details/train.json"
EXPORT_DETAILS: Final = "metrics/details/export.json"
EVALUATE_DETAILS: Final = "metrics/details/evaluate.json"
AUDIT: Final = "metrics/audit.json"
EXPLORE_TABLES: Final = "metrics/explore"
CURVES: Final = "metrics/curves"
EVALUATE_TABLES: Final = "metrics/evaluate"
PREDICTIONS: Final = "metrics/predictions.csv"

# Results of the five-fold studies, which `make study` writes.
STUDIES: Final = ("benchmarks/results/study-sample.json", "benchmarks/results/study-wikidata.json")

# Outside every output of DVC: what a killed command leaves for the next one.
STORE: Final = "data/store"
LOCKS: Final = "data/locks"
TRAIN_STATE: Final = "data/train-state"

# Answers that are kept beside the pipeline, and what became of them.
SLATES: Final = "data/slates"
OUTCOME_PAGE: Final = "data/reports/outcome.html"
OUTCOME: Final = "data/reports/outcome.json"
