"""Read a table as it comes, before its columns are recognised."""

from dataclasses import replace
from pathlib import Path

from movie_ratings.sources.tables.chunks import CHUNK, Broken, Size
from movie_ratings.sources.tables.table import tables


def rows_of(
    path: str | Path, encoding: str = "auto", block: int = CHUNK.bytes
) -> tuple[list[list[str | None]], list[Broken]]:
    """The names of the columns and the rows of the only table of a file, and its broken rows.

    Text is read in blocks of ``block`` bytes.
    """
    (found,) = tables(Path(path), encoding)
    table = replace(found, size=Size(CHUNK.rows, block))
    names = table.columns()
    chunks = [part() for part in table.parts(names, names)]
    rows = [list(row.values()) for chunk in chunks for row in chunk.rows.to_pylist()]
    assert all(len(chunk.lines()) == len(chunk.rows) for chunk in chunks)
    return [names, *rows], [broken for chunk in chunks for broken in chunk.broken]
