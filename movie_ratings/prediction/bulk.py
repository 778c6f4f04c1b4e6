"""Predictions for every movie of a file, a batch at a time."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from movie_ratings.core.errors import UserError
from movie_ratings.movies.validation import MovieError, ValidMovie, validated
from movie_ratings.prediction import movie_files
from movie_ratings.prediction.classifier import Classifier, Prediction
from movie_ratings.prediction.steps import Steps

BATCH: Final = 1_000


def predict_file(classifier: Classifier, source: Path, target: Path, progress: bool = True) -> int:
    """Predict every movie of ``source`` into ``target`` (CSV, JSON lines or Parquet by suffix); return their number.

    ``progress`` shows a bar on standard error.

    Raises:
        UserError: the source cannot be read; the message names the line.
    """
    count = 0
    with (
        movie_files.Writer(target, output_types(source)) as writer,
        tqdm(desc="predict", unit=" movies", disable=not progress) as bar,
    ):
        for movies in read(source, for_output=True):
            writer.write(joined(movies, classifier.predict_validated(movies)))
            count += len(movies)
            bar.update(len(movies))
    return count


def read(source: Path, *, for_output: bool, name: str | None = None) -> Iterator[list[ValidMovie]]:
    """The movies of a file, `BATCH` at a time, each of them checked.

    ``for_output`` refuses a movie whose columns cannot all be kept beside the prediction. ``name`` stands for the path
    in messages.

    Raises:
        UserError: the file or a movie in it cannot be read; the message names the line.
    """
    for batch in movie_files.read(source, BATCH, name):
        movies = []
        for place, movie in batch:
            movies.append(validated_at(place, movie))
            if for_output and {"label", "true_label"} <= movie.keys():
                raise UserError(f"{place}: both a label and a true_label; drop one, label becomes true_label")
        yield movies


def validated_at(place: str, movie: Mapping[str, Any]) -> ValidMovie:
    """The movie, once it is checked.

    Raises:
        UserError: the movie cannot be read; the message begins with ``place``.
    """
    try:
        return validated(movie)
    except MovieError as error:
        raise error.at(place) from None


def predict_in_steps(classifier: Classifier, movies: Sequence[ValidMovie]) -> Steps[list[Prediction]]:
    """The predictions that `predict_file` would write for ``movies``, with pauses."""
    predictions: list[Prediction] = []
    for first in range(0, len(movies), BATCH):
        predictions += yield from classifier.predict_in_steps(movies[first : first + BATCH])
    return predictions


def output_types(source: Path) -> dict[str, Any]:
    """The Arrow types of the columns that the output takes over from ``source``, as far as its format has types."""
    return {output_name(name): kind for name, kind in movie_files.types(source).items()}


def output_name(column: str) -> str:
    """The name of an input's column in the output, whose own ``label`` is the predicted one."""
    return "true_label" if column == "label" else column


def joined(movies: Sequence[Mapping[str, Any]], predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Rows of the output: the input's columns, then the prediction's."""
    return [
        {output_name(name): value for name, value in movie.items()} | columns(prediction)
        for movie, prediction in zip(movies, predictions, strict=True)
    ]


def columns(prediction: Prediction) -> dict[str, Any]:
    """A prediction as columns of the output: ``label``, ``probability_bad``, …"""
    probabilities = {f"probability_{name}": p for name, p in prediction.probabilities.items()}
    return {"label": prediction.label} | probabilities
