"""Train: fine-tune the model of model.name on the training split → models/checkpoint, with the linear part.

Training keeps the epoch with the best balanced accuracy on the validation split. The linear part's regularisation
strength, the calibration of the probabilities and the decision rule are fitted on the validation split too. A run that
was killed continues from its last save in data/train-state when it is started again with the same parameters and data.
"""

from pathlib import Path
from typing import Any

from movie_ratings import params
from movie_ratings.core import parquet, paths, processes, storage
from movie_ratings.core.command import run_stage
from movie_ratings.core.paths import CHECKPOINT, CURVES, TRAIN_DETAILS, TRAIN_METRICS, TRAIN_STATE
from movie_ratings.core.rounding import HEADLINE_DIGITS, rounded
from movie_ratings.movies import record, splits
from movie_ratings.training import named_model
from movie_ratings.training.data import Data
from movie_ratings.training.fine_tune import fine_tune


def train_stage() -> None:
    options = params.load()
    if processes.is_first():
        named_model.warn_of_local_folder(options.model.name)
    train, validation = (splits.read(split) for split in ("train", "validation"))
    outside = parquet.read_table(paths.OUTSIDE, record.OUTSIDE)
    data = Data(train, validation, splits.read_thresholds(), splits.origin(), outside)
    metrics = fine_tune(data, options, Path(TRAIN_STATE), Path(CHECKPOINT), Path(CURVES))
    if processes.is_first():
        storage.write_json(TRAIN_METRICS, rounded(headline(metrics), HEADLINE_DIGITS))
        storage.write_json(TRAIN_DETAILS, rounded(metrics))
        print(f"train: best epoch {metrics['best_epoch']} of {metrics['epochs']}, {CHECKPOINT} written")


def headline(metrics: dict[str, Any]) -> dict[str, Any]:
    """The few figures that DVC compares: the score that chose the epoch, and log-losses on the validation split.

    The log-losses are the model's, from every field that it reads; the same from title, genres and summary (``plot``);
    and that of the transformer without the linear part.
    """
    figures = metrics["validation"]
    return {
        "selection_score": metrics["selection_score"],
        "validation": {
            # A model that reads nothing but title, genres and summary has one figure for both.
            "log_loss": figures.get("facts", figures["plot"])["log_loss"],
            "plot": {"log_loss": figures["plot"]["log_loss"]},
            "transformer": {"log_loss": figures["transformer_alone"]["log_loss"]},
        },
    }


if __name__ == "__main__":
    run_stage(train_stage, [CHECKPOINT, TRAIN_METRICS, TRAIN_DETAILS, CURVES] if processes.is_first() else [])
