"""Predict a table with Ray Data: the same Classifier on each worker, on one machine or on a cluster.

Needs `pip install -r requirements-ray.txt`. On a cluster, set RAY_ADDRESS to its address, and keep source, target and
model on storage that all machines share. Ray replaces a worker that dies and predicts its rows again.
"""

import logging
import os
import pickle
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from movie_ratings.core import storage
from movie_ratings.core.errors import UserError, first_line
from movie_ratings.core.parquet import RowGroups
from movie_ratings.prediction.bulk import BATCH, Answer, output_name, require_place_for_label
from movie_ratings.prediction.classifier import Classifier
from movie_ratings.prediction.movie_table import MovieTable
from movie_ratings.sources.tables.reader import TableReport

PLACE: Final = "__place__"  # the row's number in the input: Ray may finish blocks in any order

REPORT: Final = "__report__"  # what could not be read of a batch


class _Worker:
    """Predicts batches of rows. Each worker has one, so that a worker loads the model once."""

    def __init__(self, model: str, table: MovieTable, answer: Answer):
        self._classifier, self._table, self._answer = Classifier.load(model, threads=1), table, answer

    def __call__(self, batch: pa.Table) -> pa.Table:
        movies, report = self._table.convert(batch, batch[PLACE][0].as_py() + 1)
        predicted = pa.Table.from_pylist(list(self._answer.columns(self._classifier, movies)))
        # A column of reasons that are all missing has no type of its own.
        for name, kind in self._answer.types.items():
            place = predicted.column_names.index(name)
            predicted = predicted.set_column(place, name, predicted[name].cast(kind))
        table = batch.rename_columns([output_name(name) for name in batch.column_names])
        table = table.drop_columns([name for name in predicted.column_names if name in table.column_names])
        for name in predicted.column_names:
            table = table.append_column(name, predicted[name])
        # The report travels in the batch's first row.
        reports = [pickle.dumps(report), *[None] * (len(batch) - 1)]
        return table.append_column(REPORT, pa.array(reports, pa.binary()))


def predict(table: MovieTable, target: Path, model: str, workers: int, answer: Answer | None = None) -> int:
    """Predict every movie of a Parquet table into another, in the same order; return their number.

    Raises:
        UserError: Ray is not installed, a file is not Parquet, or a movie cannot be read.
    """
    try:
        import ray
        from ray.data import ActorPoolStrategy
    except ImportError:
        raise UserError("--engine ray: Ray is not installed; pip install -r requirements-ray.txt") from None
    source = table.path
    if source.suffix != ".parquet" or target.suffix != ".parquet":
        raise UserError("--engine ray: reads and writes Parquet; --input and --output must end in .parquet")
    require_place_for_label(table)
    Classifier.load(model)  # a missing model is one line here, and a stack trace in each worker
    rows = int(pq.read_metadata(source).num_rows)
    if rows == 0:
        with storage.whole(target) as temporary:
            pq.write_table(pa.table({}), temporary)
        return 0
    # On a single machine Ray runs one task for each CPU: the workers need one each, and the writing one more.
    resources = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": workers + 1, "include_dashboard": False}
    ray.init(log_to_driver=False, logging_level="ERROR", **resources)
    ray.data.DataContext.get_current().enable_progress_bars = sys.stderr.isatty()
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    with storage.whole(target) as temporary:
        parts = temporary.with_suffix(".parts.tmp")
        shutil.rmtree(parts, ignore_errors=True)
        try:
            # This process holds one batch at a time; Ray holds the others, on disk if memory is short.
            dataset = ray.data.from_arrow_refs([ray.put(batch) for batch in _numbered(source)])
            dataset.map_batches(
                _Worker,
                fn_constructor_args=(str(Path(model).resolve()), table, answer or Answer()),
                batch_format="pyarrow",
                batch_size=None,  # the batches as they were put
                compute=ActorPoolStrategy(size=workers),
            ).write_parquet(str(parts))
            _join(parts, temporary, rows, table.report)
        except ray.exceptions.RayError as error:
            raise UserError(f"--engine ray: {_cause(error)}") from None
        finally:
            shutil.rmtree(parts, ignore_errors=True)
    return rows


def _numbered(source: Path) -> Iterator[pa.Table]:
    """The rows in batches, each row with its number in the file."""
    first = 0
    with pq.ParquetFile(source, pre_buffer=False) as file:
        for batch in file.iter_batches(BATCH):
            places = pa.array(range(first, first + len(batch)), pa.int64())
            yield pa.Table.from_batches([batch]).append_column(PLACE, places)
            first += len(batch)


def _join(parts: Path, target: Path, rows: int, report: TableReport) -> None:
    """Join the workers' files into one, rows in the source's order; each file holds consecutive rows.

    ``report`` receives the workers' reports.
    """
    firsts = {path: pc.min(pq.read_table(path, columns=[PLACE])[PLACE]).as_py() for path in parts.glob("*.parquet")}
    paths = sorted(firsts, key=lambda path: firsts[path])
    schema = pq.read_table(paths[0]).drop_columns([PLACE, REPORT]).schema
    with pq.ParquetWriter(target, schema) as writer:
        groups = RowGroups(writer)
        for path, end in zip(paths, [*(firsts[path] for path in paths[1:]), rows], strict=True):
            table = pq.read_table(path).sort_by(PLACE)
            assert table[PLACE].to_pylist() == list(range(firsts[path], end)), "Ray has mixed the batches"
            for found in table[REPORT].drop_null().to_pylist():
                report.absorb(pickle.loads(found))
            groups.write(table.drop_columns([PLACE, REPORT]))
        groups.end()


def _cause(error: Any) -> str:
    """The message of a worker's UserError, out of the text that Ray wraps around it."""
    lines = [line for line in str(error).splitlines() if "UserError: " in line]
    return lines[-1].partition("UserError: ")[2] if lines else first_line(error)
