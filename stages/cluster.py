"""Predict a table with Ray Data: the same Classifier on each worker, one machine or a cluster.

Needs `pip install -r requirements-ray.txt`. On a cluster run it where RAY_ADDRESS names it, with source, target and
model on storage that every machine sees. A worker that dies is replaced and its rows are done again.
"""

import logging
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from stages import storage
from stages.errors import UserError
from stages.predict import BATCH, Classifier, joined, require_movie

PLACE: Final = "__place__"  # the row's number in the input: Ray may finish blocks in any order


class _Worker:
    """Answers batches of rows; one for each worker, so the model is loaded once."""

    def __init__(self, model: str, source: str):
        self._classifier, self._source = Classifier.load(model, threads=1), source

    def __call__(self, batch: pa.Table) -> pa.Table:
        rows = batch.to_pylist()
        for row in rows:
            require_movie(row, f"{self._source} row {row[PLACE] + 1}")
        predictions = self._classifier.predict(rows)
        return pa.Table.from_pylist([joined(row, p) for row, p in zip(rows, predictions, strict=True)])


def predict(source: Path, target: Path, model: str, workers: int) -> int:
    """Predict every movie of a Parquet file into another, rows in their order; return how many.

    Raises:
        UserError: Ray is not installed, a file is no Parquet, or a movie cannot be read.
    """
    try:
        import ray
        from ray.data import ActorPoolStrategy
    except ImportError:
        raise UserError("--engine ray: Ray is not installed; pip install -r requirements-ray.txt") from None
    if source.suffix != ".parquet" or target.suffix != ".parquet":
        raise UserError("--engine ray: reads and writes Parquet; --input and --output must end in .parquet")
    Classifier.load(model)  # a model that is missing is one line here, not a trace of every worker
    rows = pq.read_metadata(source).num_rows
    # Alone on a machine, Ray gives out as many places as it has cores: the workers must leave one to the writing.
    places = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": workers + 1, "include_dashboard": False}
    ray.init(log_to_driver=False, logging_level="ERROR", **places)
    ray.data.DataContext.get_current().enable_progress_bars = sys.stderr.isatty()
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    with storage.whole(target) as temporary:
        parts = temporary.with_suffix(".parts.tmp")
        shutil.rmtree(parts, ignore_errors=True)
        try:
            table = pq.read_table(source)
            numbered = table.append_column(PLACE, pa.array(range(rows), pa.int64()))
            dataset = ray.data.from_arrow(numbered).repartition(max(workers, rows // BATCH))
            dataset.map_batches(
                _Worker,
                fn_constructor_args=(str(Path(model).resolve()), str(source)),
                batch_format="pyarrow",
                batch_size=BATCH,
                compute=ActorPoolStrategy(size=workers),
            ).write_parquet(str(parts))
            answered = pq.read_table(parts).sort_by(PLACE).drop_columns(PLACE)
            pq.write_table(answered, temporary)
        except ray.exceptions.RayError as error:
            raise UserError(f"--engine ray: {_cause(error)}") from None
        finally:
            shutil.rmtree(parts, ignore_errors=True)
    return int(rows)


def _cause(error: Any) -> str:
    """What a worker said, out of what Ray wraps it in."""
    lines = [line for line in str(error).splitlines() if "UserError: " in line]
    return lines[-1].partition("UserError: ")[2] if lines else str(error).splitlines()[0]
