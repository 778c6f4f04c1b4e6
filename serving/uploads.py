"""A table that is uploaded to the page: read, predicted in steps of the queue, and written beside the upload."""

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from movie_ratings.core.errors import UserError
from movie_ratings.movies.validation import ValidMovie
from movie_ratings.prediction import bulk
from movie_ratings.prediction.classifier import Classifier, Prediction
from movie_ratings.prediction.movie_table import MovieTable
from movie_ratings.prediction.steps import Steps
from movie_ratings.prediction.writer import Writer
from serving import workbooks
from serving.service import Service

ROWS: Final = 2_000  # in a table: half a minute of predictions
PART: Final = 100  # movies between two reports of the progress
SHOWN: Final = 10  # rows of the result that the page shows
# Every format that the reader of tables takes. What is packed (archives, .gz and the like) is left out: a small upload
# could unpack to any size. Workbooks, which are packed too, are tried in a process of their own before.
SUFFIXES: Final = (
    ".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet", ".xlsx", ".xlsm", ".xlsb", ".xls", ".ods",
)  # fmt: skip
# Of formats that are read and not written, the nearest one that is written.
NEAREST: Final = {".xlsm": ".xlsx", ".xlsb": ".xlsx", ".xls": ".xlsx", ".ods": ".xlsx"}


class Rated(NamedTuple):
    """The file with the predictions, its first rows, and what was read of the table, in lines for people."""

    path: Path
    movies: int
    first: list[dict[str, Any]]
    version: str
    lines: list[str]


async def predict_upload(
    service: Service, source: Path, report: Callable[[int, int], object] = lambda done, total: None
) -> Rated:
    """Predict the table ``source`` into a file beside it, of the same format if predictions are written in it.

    ``report`` is called on the event loop with the number of movies that are predicted, and of all movies.

    Raises:
        UserError: the table cannot be read, or has more than `ROWS` movies.
        FileNotFoundError: the file is gone.
        BusyError: too much long work is open.
    """
    loop = asyncio.get_running_loop()
    # The report needs the context of this call, in which the page knows whose progress it is.
    context = contextvars.copy_context()

    def work(classifier: Classifier) -> Steps[tuple[list[Prediction], str]]:
        predictions: list[Prediction] = []
        for first in range(0, len(movies), PART):
            predictions += yield from bulk.predict_in_steps(classifier, movies[first : first + PART])
            loop.call_soon_threadsafe(report, len(predictions), len(movies), context=context)
            yield
        return predictions, classifier.version

    table, movies, rows = await asyncio.to_thread(_read, source)
    report(0, len(movies))
    predictions, version = await service.run(work)
    service.logged(movies, predictions, version)
    # In the folder of the upload, which the page deletes after a day.
    target = source.with_name(f"rated-{source.stem}{result_suffix(source.suffix)}")
    written = bulk.joined(rows, list(map(bulk.columns, predictions)))
    await asyncio.to_thread(_write, table, target, written)
    return Rated(target, len(predictions), written[:SHOWN], version, table.report.lines())


def result_suffix(suffix: str) -> str:
    """The suffix of the result for that of an upload."""
    return NEAREST.get(suffix.lower(), suffix.lower())


def _read(source: Path) -> tuple[MovieTable, list[ValidMovie], list[dict[str, Any]]]:
    if source.suffix.lower() not in SUFFIXES:
        raise UserError(f"{source.name}: expected a name that ends in {', '.join(SUFFIXES)}")
    source.stat()  # a file that is gone is another error than a table that cannot be read
    workbooks.require_small(source)
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
    with Writer(target, bulk.output_types(table)) as output:
        if rows:
            output.write(rows)
