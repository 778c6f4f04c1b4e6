"""A table that is uploaded to the page: read, predicted in steps of the queue, and written beside the upload."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from movie_ratings.core.errors import UserError
from movie_ratings.movies.validation import ValidMovie
from movie_ratings.prediction import bulk
from movie_ratings.prediction.classifier import Classifier
from movie_ratings.prediction.movie_table import MovieTable
from movie_ratings.prediction.steps import Steps
from movie_ratings.prediction.writer import FORMATS, Writer
from serving.batching import Predictions
from serving.service import Service

ROWS: Final = 2_000  # in a table: half a minute of predictions
# The page takes the formats that it can give back. Archives are left out: their tables are unpacked without a bound.
SUFFIXES: Final = FORMATS


class Rated(NamedTuple):
    """The file with the predictions, the predictions, and what was read of the table, in lines for people."""

    path: Path
    predictions: Predictions
    lines: list[str]


async def predict_upload(service: Service, source: Path) -> Rated:
    """Predict the table ``source``.

    Raises:
        UserError: the table cannot be read, or has more than `ROWS` movies.
        FileNotFoundError: the file is gone.
        BusyError: too much long work is open.
    """

    def work(classifier: Classifier) -> Steps[Predictions]:
        predictions = yield from bulk.predict_in_steps(classifier, movies)
        return Predictions.of(classifier, predictions)

    table, movies, rows = await asyncio.to_thread(_read, source)
    found = await service.run(work)
    # In the folder of the upload, which the page deletes after a day.
    target = source.with_name(f"rated-{source.stem}{source.suffix.lower()}")
    await asyncio.to_thread(_write, table, target, bulk.joined(rows, list(map(bulk.columns, found.predictions))))
    return Rated(target, found, table.report.lines())


def _read(source: Path) -> tuple[MovieTable, list[ValidMovie], list[dict[str, Any]]]:
    if source.suffix.lower() not in SUFFIXES:
        raise UserError(f"{source.name}: expected a name that ends in {', '.join(SUFFIXES)}")
    source.stat()  # a file that is gone is another error than a table that cannot be read
    movies: list[ValidMovie] = []
    rows: list[dict[str, Any]] = []
    # Messages have the name of the file alone: its place on this machine is not for visitors.
    table = MovieTable(source, name=source.name, parameter="the first line of the file")
    bulk.require_place_for_label(table)
    for batch in table.batches(bulk.BATCH):
        movies += batch.movies
        rows += batch.rows
        if len(movies) > ROWS:
            raise UserError(f"More than {ROWS:,} movies: use `python -m stages.predict --input` for so many.")
    return table, movies, rows


def _write(table: MovieTable, target: Path, rows: Sequence[dict[str, Any]]) -> None:
    with Writer(target, bulk.output_types(table)) as writer:
        if rows:
            writer.write(rows)
