"""Transformers trained for the study, and what each answered, which is kept on disk."""

import hashlib
import json
import multiprocessing
import os
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from tqdm import tqdm

from benchmarks._folds import Fold
from movie_ratings.core import parquet, storage
from movie_ratings.core.arrays import Floats
from movie_ratings.movies.record import MOVIE
from movie_ratings.movies.release import add_year
from movie_ratings.movies.text import FORMAT, facts_among, without
from movie_ratings.params import Params
from movie_ratings.training.data import Data
from movie_ratings.training.fine_tune import fine_tune
from movie_ratings.training.transformer import Transformer

WORK: Final = Path("data/study")
CLEAN: Final = "data/clean/movies.parquet"
VIEWS: Final = ("facts", "plot")  # what the model is told of a movie: all it can read, or the original's request

Tables = dict[str, Floats]


@dataclass(frozen=True)
class Training:
    """A transformer trained with these parameters on a fold."""

    options: Params
    fold: Fold

    @property
    def path(self) -> Path:
        """The file of what it answered, named by all that the answers depend on."""
        relevant = self.options.model_dump(include={"model", "text", "train"})
        rows = [part.tolist() for part in (self.fold.train, self.fold.validation, self.fold.test)]
        key = json.dumps([relevant, rows, FORMAT, _content(tuple(self.options.text.fields))], sort_keys=True)
        return WORK / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"

    def logits(self) -> Tables:
        """Class logits (movies, classes) for the fold's validation and test movies, of both views."""
        if not self.path.exists():
            self.run()
        with np.load(self.path) as kept:
            return {view: kept[view] for view in VIEWS}

    def run(self) -> None:
        """Train, answer, keep the answers; the linear part is left out, as it is fitted in a moment."""
        movies: list[dict[str, Any]] = add_year(parquet.read_table(CLEAN, MOVIE)).to_pylist()
        facts = facts_among(self.options.text.fields)
        train, validation = (self.fold.table(movies, part) for part in (self.fold.train, self.fold.validation))
        alone = changed(self.options, "linear", {"use": False})
        folder = WORK / f"{self.path.stem}-checkpoint"
        data = Data(train, validation, self.fold.thresholds, {"study": self.path.stem})
        fine_tune(data, alone, WORK / "state", folder)
        asked = [movies[row] for row in (*self.fold.validation, *self.fold.test)]
        bare = [without(movie, facts) for movie in asked]
        with storage.whole(self.path) as temporary, temporary.open("wb") as file:
            # By torch: the export stage proves that the exported model predicts the same.
            transformer = Transformer.load(folder)
            np.savez_compressed(file, facts=transformer.logits(asked), plot=transformer.logits(bare))
        shutil.rmtree(folder)


def train_all(trainings: Sequence[Training], jobs: int) -> None:
    """Run those trainings that were not run before, ``jobs`` at a time; their processors are shared between them."""
    open_ones = list({training.path: training for training in trainings if not training.path.exists()}.values())
    if not open_ones:
        return
    os.environ["TQDM_DISABLE"] = "1"  # is read by new processes: bars of several trainings would write over each other
    jobs = min(jobs, len(open_ones))
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with (
        ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), torch.set_num_threads, (threads,)) as pool,
        tqdm(total=len(open_ones), desc="trainings", file=sys.stderr) as progress,
    ):
        for done in as_completed([pool.submit(training.run) for training in open_ones]):
            done.result()
            progress.update()


@cache
def _content(fields: tuple[str, ...]) -> str:
    """A hash of what a transformer reads of the movies: these fields, and the ratings with their votes."""
    table = add_year(parquet.read_table(CLEAN, MOVIE)).select([*fields, "vote_average", "vote_count"])
    return hashlib.sha256(json.dumps(table.to_pydict()).encode()).hexdigest()


def changed(options: Params, group: str, values: dict[str, Any]) -> Params:
    """The parameters with other values in one group."""
    return options.model_copy(update={group: getattr(options, group).model_copy(update=values)})
