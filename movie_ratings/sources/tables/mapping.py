"""Map the columns of a user's table to the movie record.

`auto` recognises the column names of well-known tables: TMDB dumps, TMDB 5000, The Movies Dataset, mymoviedb, MovieLens
and tables in the style of IMDb. A value of an optional column that cannot be read becomes null and is counted. A row is
broken only if its title, summary or rating cannot be read.
"""

import hashlib
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from movie_ratings.core.errors import UserError
from movie_ratings.movies.record import MOVIE
from movie_ratings.sources.tables import cells

# Column names in lower case, without spaces and punctuation; the most likely name comes first.
KNOWN: Final = {
    "id": ("tmdbid", "id", "movieid"),
    "title": ("title", "movietitle", "primarytitle", "name", "seriestitle"),
    "original_title": ("originaltitle",),
    "summary": ("overview", "summary", "plot", "synopsis", "description", "storyline"),
    "genres": ("genres", "genre"),
    "spoken_languages": ("spokenlanguages", "languages"),
    "original_language": ("originallanguage", "language"),
    "cast": ("cast", "actors", "stars"),
    "directors": ("directors", "director"),
    "release_date": ("releasedate", "released", "premiered", "date", "year", "releaseyear", "startyear"),
    "runtime": ("runtime", "runtimeminutes", "duration"),
    "vote_average": ("voteaverage", "rating", "averagerating", "imdbrating", "score"),
    "vote_count": ("votecount", "votes", "numvotes", "noofvotes"),
    "popularity": ("popularity",),
    "adult": ("adult", "isadult"),
}
# The fields that every row needs: their names in messages, and their kinds.
NEEDED: Final = {"title": ("title", "text"), "summary": ("summary", "text"), "vote_average": ("rating", "number")}
TEXTS: Final = ("title", "original_title", "summary")
LISTS: Final = ("genres", "spoken_languages", "cast", "directors")
# The reader for cells that are no plain number, by field.
NUMBERS: Final[Mapping[str, Callable[[str], float]]] = {
    "id": cells.count,
    "vote_count": cells.count,
    "popularity": cells.amount,
    "runtime": cells.amount,
    "vote_average": cells.rating,
}
WHOLE: Final = ("id", "vote_count")
ABSENT: Final = ("", "nan", "null", "none", "n/a", "na", "\\n", "-")
LONGEST_ABSENT: Final = max(map(len, ABSENT))
NAMES: Final = pa.list_(pa.string())

# The values of a column, null where a cell is empty, and the rows whose cell could not be read.
Read = tuple[Any, Sequence[int]]


def match(columns: Sequence[str], chosen: Mapping[Any, str], parameter: str) -> dict[str, str]:
    """The column of each field of the movie record: the ``chosen`` column, or a column with a known name.

    Raises:
        UserError: a chosen column does not exist, or title, summary or rating has no column; the message names
            ``parameter``, which is where a user chooses columns.
    """
    known = {re.sub(r"[\W_]+", "", column).casefold(): column for column in reversed(columns)}
    there = f"it has {', '.join(columns) or 'none'}"
    found = {}
    for field, names in KNOWN.items():
        if field in chosen:
            if chosen[field] not in columns:
                raise UserError(f"{parameter}.{field}: no column {chosen[field]!r}; {there}")
            found[field] = chosen[field]
        elif column := next((known[name] for name in names if name in known), None):
            found[field] = column
    for field in NEEDED:
        if field not in found:
            such = " or ".join(KNOWN[field][:2])
            raise UserError(f"no column for {field} (such as {such}); {there}; name the column in {parameter}")
    return found


@dataclass(frozen=True)
class Converted:
    """Movie records, the reason for each broken row, and by field the number of values that could not be read."""

    movies: pa.Table
    broken: dict[int, str]
    unreadable: Counter[str]


class Records:
    """Converts rows of one table to movie records. Several threads may convert at the same time."""

    def __init__(self, source: str, scale: float, day_first: Callable[[], bool]):
        """``scale`` is the best possible rating of the table; ``day_first`` is called for an ambiguous date."""
        self._source, self._scale, self._day_first = source, scale, day_first
        # `day_first` may read the whole table once; other threads wait for its result.
        self._asking = threading.Lock()

    def convert(self, rows: pa.Table, columns: Mapping[str, str]) -> Converted:
        """The records of the rows; ``columns`` maps fields to columns."""
        read = {name: self._read(name, rows[column]) for name, column in columns.items()}
        found = {name: values for name, (values, _) in read.items()}
        # A missing title, summary or rating does not break the row here: the clean stage drops such a row.
        broken = {
            row: f"the {what} {rows[columns[name]][row].as_py()!r} is no {kind}"
            for name, (what, kind) in NEEDED.items()
            for row in read[name][1]
        }
        unreadable = Counter({name: len(rows) for name, (_, rows) in read.items() if name not in NEEDED})
        found["vote_average"] = pc.multiply(found["vote_average"], 10 / self._scale)
        if "release_date" not in found:
            found["title"], found["release_date"] = _year_of_title(found["title"])
        found["source"] = pa.repeat(self._source, len(rows))
        found |= {field.name: pa.nulls(len(rows), field.type) for field in MOVIE if field.name not in found}
        found["id"] = _ids(found)
        table = pa.table([found[name] for name in MOVIE.names], MOVIE)
        if broken:
            kept = np.ones(len(table), dtype=bool)
            kept[list(broken)] = False
            table = table.filter(kept)
        return Converted(table, broken, unreadable)

    def _read(self, name: str, column: pa.ChunkedArray) -> Read:
        type_ = column.type
        if name in TEXTS and not pa.types.is_nested(type_):
            return _texts(column), ()
        column = column.combine_chunks()
        if name in LISTS:
            return _lists(column)
        if pa.types.is_nested(type_):
            return _none(column, MOVIE.field(name).type)
        if name in NUMBERS:
            return _numbers(name, column)
        if name == "adult":
            return (column, ()) if pa.types.is_boolean(type_) else _by_spelling(column, cells.truth, pa.bool_())
        if name == "release_date":
            return self._days(column)
        return _by_spelling(column, str, pa.string())

    def _days(self, column: pa.Array) -> Read:
        if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
            return column.cast(pa.date32(), safe=False), ()
        text = column.cast(pa.string())
        days = _plain(text, pa.date32(), lambda days: days.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False))
        return _with_the_odd(days, text, lambda day: cells.day(day, self._is_day_first))

    def _is_day_first(self) -> bool:
        with self._asking:
            return self._day_first()


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Stripped text; null for texts that mean "unknown"."""
    text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    # Only texts that are short enough are compared.
    short = pc.indices_nonzero(pc.less_equal(pc.binary_length(text), LONGEST_ABSENT))
    absent = pc.is_in(pc.utf8_lower(text.take(short)), pa.array(ABSENT))
    if not pc.any(absent).as_py():
        return text
    rows = np.zeros(len(text), dtype=bool)
    rows[short.filter(absent)] = True
    return pc.if_else(rows, None, text)


def _lists(column: pa.Array) -> Read:
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        return _by_spelling(column, cells.names, NAMES)
    inner = column.type.value_type
    if not pa.types.is_struct(inner):
        return column.cast(NAMES), ()
    if inner.get_field_index("name") < 0:
        return _none(column, NAMES)
    named = pl.Series(column).list.eval(pl.element().struct.field("name"))
    return named.to_arrow().cast(NAMES), ()


def _numbers(name: str, column: pa.Array) -> Read:
    type_ = pa.int64() if name in WHOLE else pa.float64()
    unread: Sequence[int] = ()
    if pa.types.is_integer(column.type):
        numbers = column.cast(type_, safe=False)
    elif pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
        numbers = _finite(column.cast(pa.float64()))
        if name in WHOLE:
            whole = pc.equal(numbers, pc.floor(numbers))
            unread = pc.indices_nonzero(pc.invert(whole)).to_pylist()
            numbers = pc.if_else(whole, numbers, None).cast(type_, safe=False)
    else:
        text = column.cast(pa.string())
        plain = _plain(text, type_, lambda cells: cells.cast(pl.Int64 if name in WHOLE else pl.Float64, strict=False))
        numbers, unread = _with_the_odd(plain if name in WHOLE else _finite(plain), text, NUMBERS[name])
    if name == "runtime":
        # Tables write 0 for an unknown runtime.
        possible = pc.and_(pc.greater_equal(numbers, 0.5), pc.less(numbers, 2**31 - 1))
        numbers = pc.round(pc.if_else(possible, numbers, None)).cast(pa.int32())
    return numbers, unread


def _plain(text: pa.Array, type_: pa.DataType, each: Callable[[pl.Series], pl.Series]) -> pa.Array:
    """The plainly written cells as ``type_``; null for the others, which need a reader of their own."""
    try:
        return text.cast(type_)
    except pa.ArrowInvalid:
        return each(pl.Series(text)).to_arrow()


def _finite(numbers: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_finite(numbers), numbers, None)


def _none(column: pa.Array, type_: pa.DataType) -> Read:
    """The result for a column that cannot be read as ``type_``: nulls, and every cell unreadable."""
    return pa.nulls(len(column), type_), pc.indices_nonzero(column.is_valid()).to_pylist()


def _with_the_odd(values: pa.Array, text: pa.Array, read: Callable[[str], Any]) -> Read:
    """``values``, with ``read`` applied to the cells that are null although they hold text."""
    odd = pc.and_(values.is_null(), text.is_valid())
    if not pc.any(odd).as_py():
        return values, ()
    found, unread = _by_spelling(text.filter(odd), read, values.type)
    rows = pc.indices_nonzero(odd)
    return pc.replace_with_mask(values, odd, found), rows.take(pa.array(unread, pa.int64())).to_pylist()


def _by_spelling(column: pa.Array, read: Callable[[str], Any], type_: pa.DataType) -> Read:
    """Apply ``read`` to each value; ``read`` raises ValueError for a value that it cannot read."""
    # A column holds few distinct texts in many rows: each distinct text is read once.
    spellings = column.cast(pa.string()).dictionary_encode()
    known: list[Any] = []
    unread = []
    for code, spelling in enumerate(spellings.dictionary.to_pylist()):
        text = spelling.strip()
        try:
            known.append(None if text.lower() in ABSENT else read(text))
        except ValueError:
            known.append(None)
            unread.append(code)
    rows = pc.indices_nonzero(pc.is_in(spellings.indices, pa.array(unread, pa.int32()))) if unread else pa.array([])
    return pa.array(known, type_).take(spellings.indices), rows.to_pylist()


def _year_of_title(titles: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
    """Split titles such as "Film (1995)", as MovieLens writes them, into the title and the first day of the year."""
    parts = pl.DataFrame({"title": pl.Series(titles)}).select(
        pl.col("title").str.extract(r"^(.*\S)\s*\(\d{4}\)$").fill_null(pl.col("title")),
        (pl.col("title").str.extract(r"\((\d{4})\)$") + "-01-01").str.to_date("%Y-%m-%d", strict=False).alias("day"),
    )
    return parts["title"].to_arrow(), parts["day"].to_arrow()


def _ids(found: Mapping[str, Any]) -> Any:
    """The ids. A movie without an id gets one that is computed from title and date."""
    without = found["id"].is_null()
    if not pc.any(without).as_py():
        return found["id"]
    films = zip(*(found[name].filter(without).to_pylist() for name in ("title", "release_date")), strict=True)
    return pc.replace_with_mask(found["id"], without, pa.array([_id(title, day) for title, day in films], pa.int64()))


def _id(title: str | None, day: date | None) -> int:
    """A positive id that depends on title and date alone."""
    return int.from_bytes(hashlib.sha256(f"{title}|{day}".encode()).digest()[:8]) >> 1
