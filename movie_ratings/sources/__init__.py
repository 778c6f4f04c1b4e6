"""The sources of movies: one module a source; each yields batches of `movie_ratings.movies.record.MOVIE`.

A source is a module with the function ``batches(params, report) -> Iterator[pyarrow.RecordBatch]``. The function maps
the source's fields to the movie record and leaves the other fields null. A source neither filters by quality nor
removes duplicates: the stage clean does both.
"""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from movie_ratings.core.paths import INPUTS
from movie_ratings.params import Fetch
from movie_ratings.sources.fetch_report import FetchReport


def batches(params: Fetch, report: FetchReport) -> Iterator[pa.RecordBatch]:
    """The movies of ``params.source``, in the order of the source; ``report`` is complete after the last batch.

    Raises:
        UserError: the source cannot be downloaded or read, or is not in the expected form.
    """
    for path in unseen(params):
        print(f"{path}: not in {INPUTS}/, so that dvc will not see when it changes", file=sys.stderr)
    # Imported on demand, so that the libraries of one source are not imported for the others.
    source = importlib.import_module(f"movie_ratings.sources.{params.source}")
    found: Iterator[pa.RecordBatch] = source.batches(params, report)
    return found


def unseen(params: Fetch) -> list[str]:
    """The files and folders of ``params.source`` that are outside `INPUTS`, the dependency of the stage in dvc.yaml.

    The name of a data set on the hub is no folder, and not among them.
    """
    given = list(params.files.paths) if params.source == "files" else []
    if params.source == "hub" and params.hub.name and Path(params.hub.name).exists():
        given.append(params.hub.name)
    if params.source == "tmdb" and params.tmdb.ids != "export" and params.tmdb.ids_path:
        given.append(params.tmdb.ids_path)
    if params.source == "imdb" and params.imdb.folder:
        given.append(params.imdb.folder)
    return [path for path in given if not Path(path).absolute().is_relative_to(Path(INPUTS).absolute())]
