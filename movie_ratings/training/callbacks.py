"""Callbacks of the Trainer: learning curves, epochs, saves by the clock, and the progress bar."""

import time
from pathlib import Path
from typing import Any, Final

from dvclive import Live
from transformers import TrainerCallback
from transformers.trainer_callback import ProgressCallback

from movie_ratings.core import processes
from movie_ratings.core.rounding import rounded
from movie_ratings.training.dataset import TrainingDataset

# The Trainer's name of a figure, and the name of its curve. The learning rate follows from params.yaml.
LOGGED: Final = {
    "loss": "train_loss",
    "eval_loss": "validation_loss",
    "eval_balanced_accuracy": "validation_balanced_accuracy",
}


class Curves(TrainerCallback):
    """Logs the Trainer's figures by step with DVCLive. A resumed run first logs the figures of its earlier part."""

    def __init__(self, folder: Path):
        self._folder = folder

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Open the log, and repeat what an interrupted run had logged."""
        if not processes.is_first():
            return
        self._live = Live(dir=str(self._folder), dvcyaml=None, save_dvc_exp=False)
        for entry in state.log_history:
            self._log(entry, entry["step"])

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Log one entry."""
        if processes.is_first():
            self._log(logs or {}, state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Close the log."""
        if processes.is_first():
            self._live.end()

    def _log(self, entry: dict[str, Any], step: int) -> None:
        self._live.step = step
        for key in LOGGED.keys() & entry.keys():
            self._live.log_metric(LOGGED[key], rounded(float(entry[key])))


class Epochs(TrainerCallback):
    """Sets the epoch of the data set: each epoch leaves fields out of other movies."""

    def __init__(self, dataset: TrainingDataset):
        self._dataset = dataset

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Set the epoch that begins."""
        self._dataset.set_epoch(int(state.epoch))


class SaveEvery(TrainerCallback):
    """Saves whenever ``minutes`` have passed since the last save. The Trainer also saves at the end of each epoch."""

    def __init__(self, minutes: float):
        self._seconds, self._last = minutes * 60, time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Request a save if the time is up on the first process; all processes save at the same step."""
        control.should_save |= processes.agreed(time.monotonic() - self._last > self._seconds)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock again."""
        self._last = time.monotonic()


class Progress(ProgressCallback):
    """The Trainer's progress bar with epoch and loss in it, in place of a printed line for each log entry."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Show the loss of a log entry."""
        if self.training_bar is not None and logs and "loss" in logs:
            self.training_bar.set_postfix(epoch=f"{state.epoch:.1f}", loss=f"{logs['loss']:.3f}")
