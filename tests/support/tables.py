"""Read a table as it comes, before its columns are recognised."""

from pathlib import Path

from movie_ratings.sources.tables.chunks import Broken
from movie_ratings.sources.tables.table import tables


def rows_of(path: str | Path, encoding: str = "auto") -> tuple[list[list[str | None]], list[Broken]]:
    """The names of the columns and the rows of the only table of a file, and its broken rows."""
    (table,) = tables(Path(path), encoding)
    names = table.columns()
    chunks = [part() for part in table.parts(names, names)]
    rows = [list(row.values()) for chunk in chunks for row in chunk.rows.to_pylist()]
    assert all(len(chunk.lines()) == len(chunk.rows) for chunk in chunks)
    return [names, *rows], [broken for chunk in chunks for broken in chunk.broken]
