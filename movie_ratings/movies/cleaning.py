"""Cleaning: decide which rows of a table of movies are worth learning from.

Rows pass through memory a batch at a time and wait on disk, in files by ranges of their id, until it is known which of
them stay: of the whole table, memory holds only what finding duplicates takes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from movie_ratings.core import parquet, storage
from movie_ratings.movies.film import film_id, group_keys
from movie_ratings.movies.record import MOVIE
from movie_ratings.movies.release import add_year
from movie_ratings.movies.text import NO_GENRE, normalise

TEXTS: Final = ("title", "original_title", "summary", "original_language", "collection")
LISTS: Final = tuple(field.name for field in MOVIE if pa.types.is_list(field.type))
# Characters that `normalise` may change. Nearly all texts have none of them, and are not normalised one by one.
UNUSUAL: Final = r"[\x00-\x1f\x85\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]|  |^ | $"
REASONS: Final = ("no_title", "no_summary", "no_rating", "rating_out_of_range", "few_votes")
# The columns that finding duplicates needs; ``film`` is the key of `film.group_key`.
FILM: Final = {"row": pl.UInt32, "id": pl.Int64, "votes": pl.Int64, "film": pl.String}
BUCKET: Final = 131_072  # rows that are sorted at a time


def clean_table(source: str | Path, target: str | Path, min_votes: int) -> dict[str, Any]:
    """Write the rows worth keeping, sorted by id; return the counts of dropped rows by the first reason for each."""
    ids = parquet.read_table(source, pa.schema([MOVIE.field("id")]))["id"].to_numpy()
    ambiguous = _ambiguous(source, ids)
    dropped = dict.fromkeys(REASONS, 0)
    films = [pl.DataFrame(schema=FILM)]
    seen = 0
    with storage.scratch(target) as folder:
        with _Buckets(folder, ids) as buckets:
            for batch in parquet.read_batches(source, MOVIE):
                movies = normalised(add_year(batch)).with_row_index("row", seen).with_columns(reason=_reason(min_votes))
                if len(ambiguous):
                    movies = _renumbered(movies, ambiguous)
                seen += batch.num_rows
                for reason, count in movies["reason"].drop_nulls().value_counts().iter_rows():
                    dropped[reason] += count
                kept = movies.filter(pl.col("reason").is_null()).drop("reason")
                keys = group_keys(kept["title"], kept["year"]).alias("film")
                films.append(kept.select("row", "id", pl.col("vote_count").fill_null(0).alias("votes"), keys))
                buckets.add(kept)
        stays, duplicates = _distinct(pl.concat(films), seen)
        written = parquet.write_batches(target, buckets.sorted(stays), MOVIE)
    return {"rows_in": seen, "rows_out": written, "dropped": dropped | duplicates}


def normalised(movies: pa.RecordBatch) -> pl.DataFrame:
    """The movies with normalised texts. Empty texts become null, empty names are removed, no genre becomes NonGiven."""
    found = pl.DataFrame(movies)
    return found.with_columns(
        *(_texts(found[name]) for name in TEXTS),
        *(pl.Series(name, _lists(movies[name])) for name in LISTS),
    ).with_columns(
        *(pl.when(pl.col(name) != "").then(name).alias(name) for name in TEXTS),
        pl.when(pl.col("genres").list.len() > 0).then("genres").otherwise(pl.lit([NO_GENRE])).alias("genres"),
    )


def _ambiguous(source: str | Path, ids: npt.NDArray[Any]) -> pl.Series:
    """The ids that movies with different titles share, such as the row numbers of several tables."""
    numbers, counts = np.unique(ids, return_counts=True)
    repeated = pl.Series(numbers[counts > 1])
    titles = pl.DataFrame(schema={"id": pl.Int64, "title": pl.String})
    for batch in (
        parquet.read_batches(source, pa.schema([MOVIE.field("id"), MOVIE.field("title")])) if len(repeated) else ()
    ):
        found = pl.DataFrame(batch).filter(pl.col("id").is_in(repeated.implode()), pl.col("title").is_not_null())
        keys = group_keys(_texts(found["title"]), pl.Series([None] * len(found), dtype=pl.Int32))
        titles = pl.concat([titles, found.with_columns(title=keys)]).unique()
    return titles["id"].filter(titles["id"].is_duplicated()).unique()


def _renumbered(movies: pl.DataFrame, ambiguous: pl.Series) -> pl.DataFrame:
    """The movies, those with an ambiguous id under the id of their film."""
    rows = (movies["id"].is_in(ambiguous.implode()) & movies["title"].is_not_null()).arg_true()
    keys = group_keys(movies["title"].gather(rows), movies["year"].gather(rows))
    return movies.with_columns(movies["id"].scatter(rows, pl.Series([film_id(key) for key in keys], dtype=pl.Int64)))


def _texts(column: pl.Series) -> pl.Series:
    unusual = column.str.contains(UNUSUAL).arg_true()
    return column.scatter(unusual, pl.Series([normalise(text) for text in column.gather(unusual)], dtype=pl.String))


def _lists(column: pa.ListArray) -> pa.ListArray:
    """The lists with normalised strings and without empty strings; a null list stays null."""
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    owners = np.repeat(np.arange(len(column)), lengths)
    values = _texts(pl.Series(column.flatten(), dtype=pl.String))
    known = (values.is_not_null() & (values != "")).fill_null(False).to_numpy()
    counts = np.bincount(owners[known], minlength=len(column))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    strings = values.filter(known).to_arrow().cast(pa.string())
    return pa.ListArray.from_arrays(offsets, strings, mask=column.is_null())


def _reason(min_votes: int) -> pl.Expr:
    """The reason for dropping a normalised movie: one of `REASONS`, or null."""
    rating, votes = pl.col("vote_average"), pl.col("vote_count").fill_null(0)
    applies = (
        pl.col("title").is_null(),
        pl.col("summary").is_null(),
        rating.is_null() | rating.is_nan() | (rating == 0),
        ~rating.is_between(0, 10),
        votes < min_votes,
    )
    return pl.coalesce(*(pl.when(met).then(pl.lit(reason)) for met, reason in zip(applies, REASONS, strict=True)))


def _distinct(films: pl.DataFrame, rows: int) -> tuple[npt.NDArray[np.bool_], dict[str, int]]:
    """Whether each of the ``rows`` is kept, and the number of duplicates of each kind."""
    # Most votes first; ties go to the smaller id, then to the earlier row, so that the order is always the same.
    ranked = films.sort(["votes", "id", "row"], descending=[True, False, False])
    by_id = ranked.unique("id", keep="first", maintain_order=True)
    by_film = by_id.unique("film", keep="first", maintain_order=True)
    stays = np.zeros(rows, dtype=np.bool_)
    stays[by_film["row"].to_numpy()] = True
    return stays, {"duplicate_id": len(ranked) - len(by_id), "duplicate_title_year": len(by_id) - len(by_film)}


class _Buckets:
    """Movies on disk, one file for each range of ids. Sorting all movies needs the memory of one file."""

    SCHEMA: Final = MOVIE.append(pa.field("row", pa.uint32()))

    def __init__(self, folder: Path, ids: npt.NDArray[Any]):
        self._folder = folder
        self._edges = np.sort(ids)[BUCKET::BUCKET]
        self._files: dict[int, pa.ipc.RecordBatchFileWriter] = {}

    def __enter__(self) -> "_Buckets":
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def add(self, movies: pl.DataFrame) -> None:
        places = np.searchsorted(self._edges, movies["id"].to_numpy(), side="right")
        for place in np.unique(places).tolist():
            if place not in self._files:
                options = pa.ipc.IpcWriteOptions(compression="lz4")
                self._files[place] = pa.ipc.new_file(self._path(place), self.SCHEMA, options=options)
            part = movies.filter(places == place).select(self.SCHEMA.names)
            self._files[place].write_table(part.to_arrow().cast(self.SCHEMA))

    def sorted(self, stays: npt.NDArray[np.bool_]) -> Iterator[pa.RecordBatch]:
        """The movies of the rows that are kept, sorted by id."""
        for place in sorted(self._files):
            with pa.ipc.open_file(self._path(place)) as file:
                movies = pl.DataFrame(file.read_all())
            kept = movies.filter(stays[movies["row"].to_numpy()]).sort("id").select(MOVIE.names)
            yield from kept.to_arrow().cast(MOVIE).to_batches()

    def _path(self, place: int) -> Path:
        return self._folder / f"{place}.arrow"
