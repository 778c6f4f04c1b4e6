"""Train: fine-tune the model of model.name on the training split → models/checkpoint, with the linear part.

Training keeps the epoch with the best balanced accuracy on the validation split. The linear part's regularisation
strength, the calibration of the probabilities and the decision rule are fitted on the validation split too. A run that
was killed continues from its last save in data/train-state when it is started again with the same parameters and data.
"""

from pathlib import Path

from movie_ratings import params
from movie_ratings.core import processes, storage
from movie_ratings.core.command import run_stage
from movie_ratings.core.paths import CHECKPOINT, CURVES, TRAIN_METRICS, TRAIN_STATE
from movie_ratings.movies import splits
from movie_ratings.training.dataset import Data
from movie_ratings.training.fine_tune import fine_tune


def train_stage() -> None:
    options = params.load()
    train, validation = (splits.read(split) for split in ("train", "validation"))
    data = Data(train, validation, splits.read_thresholds(), splits.origin())
    metrics = fine_tune(data, options, Path(TRAIN_STATE), Path(CHECKPOINT), Path(CURVES))
    if processes.is_first():
        storage.write_json(TRAIN_METRICS, metrics)
        print(f"train: best epoch {metrics['best_epoch']} of {metrics['epochs']}, {CHECKPOINT} written")


if __name__ == "__main__":
    run_stage(train_stage, [CHECKPOINT, TRAIN_METRICS, CURVES] if processes.is_first() else [])
