"""The source that ``fetch.source`` names."""

import importlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from movie_ratings.core.errors import UserError
from movie_ratings.core.paths import INPUTS
from movie_ratings.params import Fetch
from movie_ratings.sources.fetch_report import FetchReport
from movie_ratings.sources.tables.reader import Tabular
from movie_ratings.sources.tables.records import FromTables


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


def tables_of(params: Fetch, paths: Sequence[Path] | None = None) -> Iterator[tuple[Tabular, str, FromTables]]:
    """The tables at ``paths``, or those that ``params`` names; each with its source and the source's parameters.

    Raises:
        UserError: a table does not exist or has no known format, or ``params.source`` does not read tables.
    """
    if paths is not None or params.source == "files":
        from movie_ratings.sources.tables.table import tables

        for path in paths if paths is not None else map(Path, params.files.paths):
            for table in tables(path, params.files.encoding):
                yield table, "files", params.files
    elif params.source == "hub":
        from movie_ratings.sources import hub

        yield hub.DataSet(params.hub), "hub", params.hub
    else:
        raise UserError(f"fetch.source: {params.source} reads no tables; --dry-run describes those of files and hub")


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
