"""From the columns of somebody's table to the movie record.

`auto` knows the names that the well-known tables use: TMDB dumps, TMDB 5000, The Movies Dataset, mymoviedb, MovieLens
and IMDb style. A value of an optional column that cannot be read becomes null and is counted; a row is broken only
when its title, summary or rating cannot be read.
"""

import ast
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

import polars as pl

from stages.errors import UserError
from stages.schema import MOVIE

# Names without case, spaces and punctuation, the likeliest first.
NAMES: Final = {
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
NEEDED: Final = ("title", "summary", "vote_average")
ABSENT: Final = ("", "nan", "null", "none", "n/a", "na", "\\n", "-")


def match(columns: Sequence[str], chosen: Mapping[Any, str]) -> dict[str, str]:
    """The column of each field of the movie record: the one ``chosen`` for it, or one with a name that is known.

    Raises:
        UserError: a chosen column is not there, or there is none for the title, the summary or the rating.
    """
    known = {re.sub(r"[\W_]+", "", column).casefold(): column for column in reversed(columns)}
    found = {}
    for field, names in NAMES.items():
        if field in chosen:
            if chosen[field] not in columns:
                raise UserError(
                    f"fetch.files.mapping.{field}: no column {chosen[field]!r}; it has {', '.join(columns)}"
                )
            found[field] = chosen[field]
        elif column := next((known[name] for name in names if name in known), None):
            found[field] = column
    for field in NEEDED:
        if field not in found:
            raise UserError(
                f"no column for {field} (such as {' or '.join(NAMES[field][:2])}); it has {', '.join(columns)}; "
                f"say which it is with fetch.files.mapping"
            )
    return found


class Records:
    """Movie records out of the columns of one table.

    ``unreadable`` counts, by field, the values that became null because they could not be read.
    """

    def __init__(self, source: str, scale: float, day_first: Callable[[], bool]):
        """``scale`` is the best rating of the table; ``day_first`` is asked when a date does not say it itself."""
        self._source, self._scale, self._day_first = source, scale, day_first
        self.unreadable: Counter[str] = Counter()

    def convert(self, columns: Mapping[str, pl.Series]) -> tuple[pl.DataFrame, dict[int, str]]:
        """Records of the columns, which are named by field; and of each broken row, which is left out, the reason."""
        found = {name: _texts(columns[name]) for name in TEXTS if name in columns}
        found |= {name: self._lists(name, columns[name]) for name in LISTS if name in columns}
        rating, unreadable = _numbers(columns["vote_average"], _decimal)
        broken = {row: f"the rating {columns['vote_average'][row]!r} is no number" for row in unreadable}
        found["vote_average"] = rating * (10 / self._scale)
        for name, read in NUMBERS.items():
            if name in columns:
                found[name], unreadable = _numbers(columns[name], read)
                self.unreadable[name] += len(unreadable)
        if "runtime" in found:
            found["runtime"] = found["runtime"].round().replace([0.0], [None])
        if "adult" in columns:
            found["adult"] = self._read("adult", columns["adult"], _truth, pl.Boolean)
        if "release_date" in columns:
            found["release_date"] = self._days(columns["release_date"])
        else:
            found["title"], found["release_date"] = _year_of_title(found["title"])
        table = pl.DataFrame(
            {name: found[name].cast(type_, strict=False) for name, type_ in TYPES.items() if name in found}
        )
        return self._complete(table).filter(~pl.Series(_mask(broken, len(table)), dtype=pl.Boolean)), broken

    def _complete(self, table: pl.DataFrame) -> pl.DataFrame:
        """All columns of the movie record; a movie without an id gets one that its title and date decide."""
        absent = [pl.lit(None, type_).alias(name) for name, type_ in TYPES.items() if name not in table.columns]
        table = table.with_columns(*absent).with_columns(source=pl.lit(self._source))
        missing = table["id"].is_null()
        if missing.any():
            made = [
                _id(title, day) if absent else known
                for absent, known, title, day in zip(
                    missing, table["id"], table["title"], table["release_date"], strict=True
                )
            ]
            table = table.with_columns(id=pl.Series(made, dtype=pl.Int64))
        return table.select(MOVIE.names)

    def _lists(self, name: str, column: pl.Series) -> pl.Series:
        if isinstance(column.dtype, pl.List):
            inner = column.dtype.inner
            if isinstance(inner, pl.Struct):
                named = next((f.name for f in inner.fields if f.name == "name"), None)
                if named is None:
                    self.unreadable[name] += int(column.is_not_null().sum())
                    return pl.Series([None] * len(column), dtype=pl.List(pl.String))
                return column.list.eval(pl.element().struct.field("name")).cast(pl.List(pl.String))
            return column.cast(pl.List(pl.String))
        return self._read(name, column, names, pl.List(pl.String))

    def _days(self, column: pl.Series) -> pl.Series:
        if column.dtype in (pl.Date, pl.Datetime):
            return column.cast(pl.Date)
        text = _texts(column)
        days = text.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
        odd = (days.is_null() & text.is_not_null()).arg_true()
        if len(odd) == 0:
            return days
        rest = [_day(value, self._day_first) for value in text.gather(odd)]
        self.unreadable["release_date"] += rest.count(None)
        return days.scatter(odd, rest)

    def _read(self, name: str, column: pl.Series, read: Callable[[str], Any], type_: Any) -> pl.Series:
        """Each value by ``read``, which raises ValueError for one that it cannot read."""
        if column.dtype == type_:
            return column
        known: dict[str, Any] = {}
        for value in _texts(column).unique().drop_nulls():
            try:
                known[value] = read(value)
            except ValueError:
                self.unreadable[name] += int((column == value).sum())
        return pl.Series([known.get(value) for value in _texts(column)], dtype=type_)


def names(cell: str) -> list[str]:
    """The names in a cell: a JSON or Python list of names or of objects with one, or names between , | or ;.

    Raises:
        ValueError: it begins as a list and is none.
    """
    if cell.startswith(("[", "{")):
        try:
            found = json.loads(cell)
        except ValueError:
            try:
                found = ast.literal_eval(cell)
            except (SyntaxError, MemoryError, RecursionError) as error:
                raise ValueError(str(error)) from None
        if not isinstance(found, list):
            raise ValueError("not a list")
        entries = [entry.get("name") if isinstance(entry, dict) else entry for entry in found]
        return [entry.strip() for entry in entries if isinstance(entry, str) and entry.strip()]
    if cell == "(no genres listed)":  # MovieLens
        return []
    separator = next((mark for mark in "|;," if mark in cell), ",")
    return [name.strip() for name in cell.split(separator) if name.strip()]


def day_parts(text: str) -> tuple[int, int] | None:
    """The first two numbers of a date such as 3/4/2005, of which one is the day and the other the month."""
    found = PARTS.match(text)
    return (int(found[1]), int(found[2])) if found else None


def _texts(column: pl.Series) -> pl.Series:
    """Stripped text; null for what means "nothing"."""
    text = column.cast(pl.String).str.strip_chars()
    return text.set(text.str.to_lowercase().is_in(ABSENT), None)


def _numbers(column: pl.Series, read: Callable[[str], float | None]) -> tuple[pl.Series, list[int]]:
    """The numbers, and the rows of those that are none. ``read`` takes what is not plainly a number."""
    if column.dtype.is_numeric():
        return column.cast(pl.Float64).fill_nan(None), []
    text = _texts(column)
    number = text.cast(pl.Float64, strict=False)
    number = number.set(~number.is_finite(), None)
    odd = (number.is_null() & text.is_not_null()).arg_true()
    if read is _count:
        odd = pl.concat([odd, (number != number.floor()).arg_true()])
    rest = [read(value) for value in text.gather(odd)]
    return number.scatter(odd, rest), [row for row, value in zip(odd, rest, strict=True) if value is None]


def _decimal(text: str) -> float | None:
    """A rating: its comma, if it has one, is a decimal comma; "8/10" is 8."""
    found = re.fullmatch(r"(\d+(?:[.,]\d+)?)(?: ?/ ?10)?", text)
    return float(found[1].replace(",", ".")) if found else None


def _amount(text: str) -> float | None:
    """A number with separators between thousands, or with a decimal comma, or with its unit ("98 min")."""
    text = re.sub(r"(?<=\d)[\s'](?=\d{3})", "", text)
    text = re.sub(r" ?min(utes)?\.?$", "", text)
    if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?", text):
        return float(text.replace(",", ""))
    if re.fullmatch(r"[+-]?\d{1,3}(\.\d{3})+(,\d+)?|[+-]?\d+,\d+", text):
        return float(text.replace(".", "").replace(",", ".") if "," in text else text.replace(".", ""))
    return float(text) if re.fullmatch(r"[+-]?\d+(\.\d+)?", text) else None


def _count(text: str) -> float | None:
    """A whole number: a point in it stands between thousands."""
    if re.fullmatch(r"\d+\.0+", text):
        return float(text)
    number = float(text.replace(".", "")) if re.fullmatch(r"\d{1,3}(\.\d{3})+", text) else _amount(text)
    return number if number is not None and number.is_integer() else None


def _truth(text: str) -> bool:
    try:
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.casefold()]
    except KeyError:
        raise ValueError from None


def _day(text: str, day_first: Callable[[], bool]) -> date | None:
    if re.fullmatch(r"\d{4}(\.0)?", text):
        return _date(int(text[:4]), 1, 1)
    if found := PARTS.match(text):
        first, second, year = int(found[1]), int(found[2]), int(found[3])
        year += 0 if year > 99 else 1900 if year > 30 else 2000
        return _date(year, second, first) if day_first() else _date(year, first, second)
    for format_ in WRITTEN:
        try:
            return datetime.strptime(text, format_).date()
        except ValueError:
            continue
    return None


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _year_of_title(titles: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Titles as MovieLens writes them, "Film (1995)", without their year; and the first day of it."""
    parts = pl.DataFrame({"title": titles}).select(
        pl.col("title").str.extract(r"^(.*\S)\s*\(\d{4}\)$").fill_null(pl.col("title")).alias("title"),
        (pl.col("title").str.extract(r"\((\d{4})\)$") + "-01-01").str.to_date("%Y-%m-%d", strict=False).alias("day"),
    )
    return parts["title"], parts["day"]


def _id(title: str | None, day: date | None) -> int:
    """A positive id that depends on title and date alone."""
    return int.from_bytes(hashlib.sha256(f"{title}|{day}".encode()).digest()[:8]) >> 1


def _mask(rows: Mapping[int, Any], count: int) -> list[bool]:
    return [row in rows for row in range(count)]


TEXTS: Final = ("title", "original_title", "summary", "original_language")
LISTS: Final = ("genres", "spoken_languages", "cast", "directors")
NUMBERS: Final = {"id": _count, "vote_count": _count, "popularity": _amount, "runtime": _amount}
PARTS: Final = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4}|\d{2})\b")
WRITTEN: Final = ("%d %B %Y", "%d %b %Y", "%B %d, %Y", "%b %d, %Y", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d")
TYPES: Final = dict(pl.DataFrame(MOVIE.empty_table()).schema)
