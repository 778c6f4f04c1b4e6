"""Tables of figures as CSV files."""

from pathlib import Path

import polars as pl

from movie_ratings.core import storage
from movie_ratings.core.rounding import DIGITS, rounded


def write_csv(path: str | Path, table: pl.DataFrame, digits: int = DIGITS) -> None:
    """Write ``table`` with floats of ``digits`` decimals, completely or not at all."""
    with storage.whole(path) as temporary:
        pl.DataFrame(rounded(table.to_dicts(), digits), schema=table.schema).write_csv(temporary)


def write_folder(path: str | Path, tables: dict[str, pl.DataFrame]) -> None:
    """Write each table to ``path``/NAME.csv; the folder holds these files and no others."""
    with storage.whole(path) as folder:
        folder.mkdir()
        for name, table in tables.items():
            write_csv(folder / f"{name}.csv", table)
