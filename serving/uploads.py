"""A table that is uploaded to the page: read, predicted in steps of the queue, and written beside the upload."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from movie_ratings.core.errors import UserError
from movie_ratings.movies.validation import ValidMovie
from movie_ratings.prediction import bulk, movie_files
from movie_ratings.prediction.classifier import Classifier
from movie_ratings.prediction.steps import Steps
from serving.batching import Predictions
from serving.service import Service

ROWS: Final = 2_000  # in a table: half a minute of predictions


async def predict_upload(service: Service, source: Path) -> tuple[Path, Predictions]:
    """Predict the table ``source``; returns the path of the result and the predictions in it.

    Raises:
        UserError: the table cannot be read, or has more than `ROWS` movies.
        BusyError: too much long work is open.
    """

    def work(classifier: Classifier) -> Steps[Predictions]:
        predictions = yield from bulk.predict_in_steps(classifier, movies)
        return Predictions(predictions, classifier.version)

    movies = await asyncio.to_thread(_read, source)
    found = await service.run(work)
    # In the folder of the upload, which the page deletes after a day.
    target = source.with_name(f"rated-{source.name}")
    await asyncio.to_thread(_write, source, target, bulk.joined(movies, found.predictions))
    return target, found


def _read(source: Path) -> list[ValidMovie]:
    movie_files.require_format(source)
    movies: list[ValidMovie] = []
    # Messages have the name of the file alone: its place on this machine is not for visitors.
    for batch in bulk.read(source, for_output=True, name=source.name):
        movies += batch
        if len(movies) > ROWS:
            raise UserError(f"More than {ROWS:,} movies: use `python -m stages.predict --input` for so many.")
    return movies


def _write(source: Path, target: Path, rows: Sequence[dict[str, Any]]) -> None:
    with movie_files.Writer(target, bulk.output_types(source)) as writer:
        if rows:
            writer.write(rows)
