"""Convert the columns of a user's table to the fields of the movie record.

A value that cannot be read becomes null, and the row is returned beside the values.
"""

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from movie_ratings.movies.record import MOVIE
from movie_ratings.sources.tables import cells
from movie_ratings.sources.tables.columns import Choice, Choices, Fields, is_language
from movie_ratings.sources.values import MAX_BUDGET

TEXTS: Final = ("title", "original_title", "summary")
LISTS: Final = tuple(field.name for field in MOVIE if pa.types.is_list(field.type))
WHOLE: Final = ("id", "vote_count", "budget")
# Cells without a value, in lower case. Few of them: a film may be named "Unknown".
ABSENT: Final = ("", "nan", "null", "none", "n/a", "na", "\\n", "-")
LONGEST_ABSENT: Final = max(map(len, ABSENT))
# Cells of numbers, dates and lists that say that there is no value.
UNKNOWN: Final = frozenset((
    *ABSENT, "--", "---", "\u2013", "\u2014", "?", "??", "nr", "n/r", "n.a.", "n.r.", "nil", "<na>", "nat", "tbd",
    "tba", "unknown", "unrated", "not rated", "not available", "no rating", "no score", "no votes", "no data",
    "missing", "undefined", "-nan", "#n/a", "#n/a n/a", "#na", "#value!", "#div/0!", "#ref!", "#num!", "#name?",
    "#null!",
))  # fmt: skip
NAMES: Final = pa.list_(pa.string())
LONGEST: Final = 200  # characters of a number, a date or the code of a language
LONGEST_COLLECTION: Final = 10_000  # characters of a collection, which may be an object with more than a name
LONGEST_LIST: Final = 500_000  # characters of a list, such as the cast of a film with all that is known of each member
LONGEST_RUNTIME: Final = 2**31 - 1  # minutes: the largest number of the record's type
# Days since 1970.
FIRST_DAY: Final = (date.min - date(1970, 1, 1)).days
LAST_DAY: Final = (date.max - date(1970, 1, 1)).days

PLAIN_DAY: Final = r"^\d{4}-\d\d-\d\d$"
PLAIN_WHOLE: Final = r"^\d{1,18}$"
PLAIN_NUMBER: Final = r"^\d{1,15}(\.\d{1,15})?$"


@dataclass(frozen=True)
class Read:
    """The values of a field, null where a cell is empty, and the rows whose value could not be read."""

    values: Any
    unread: Sequence[int] = ()


@dataclass(frozen=True)
class Unread:
    """The values of a field that could not be read: their number, the row of the first one, and its text."""

    count: int
    row: int
    text: str


@dataclass(frozen=True)
class Converted:
    """Movie records, the reason for each broken row, and what could not be read of the fields that may be unknown.

    ``movies`` has a row for each row that is not broken. ``ratings`` counts the ratings, ``beyond`` those above the
    scale, and ``largest`` is the largest rating on the table's scale.
    """

    movies: pa.Table
    broken: dict[int, str]
    unread: dict[str, Unread]
    ratings: int = 0
    beyond: int = 0
    largest: float = 0.0


class Converter:
    """Converts rows of one table to movie records. Several threads may convert at the same time."""

    def __init__(self, source: str, choices: Choices, fields: Fields, scale: float, day_first: Callable[[str], bool]):
        """``scale`` is the best possible rating; ``day_first`` is called with the column of an ambiguous date."""
        self._source, self._choices, self._fields, self._scale = source, choices, fields, scale
        self._day_first = day_first
        # `day_first` may read the whole table once; other threads wait for its result.
        self._asking = threading.Lock()

    def convert(self, rows: pa.Table) -> Converted:
        """The records of the rows."""
        read = {field: self._field(field, rows) for field in self._choices}
        found = {name: field.values for name, field in read.items()}
        # A missing title, summary or rating does not break the row here: the clean stage drops such a row.
        broken: dict[int, str] = {}
        for field in self._fields.broken():
            for row in read[field].unread if field in read else ():
                value = _shown(self._choices[field], rows, row)
                what = "rating" if field == "vote_average" else field
                broken[row] = f"the {what} {value} is no {'number' if field == 'vote_average' else 'text'}"
        unread = {
            name: Unread(len(field.unread), field.unread[0], _shown(self._choices[name], rows, field.unread[0]))
            for name, field in read.items()
            if len(field.unread) and name not in self._fields.broken()
        }
        ratings, beyond, largest = 0, 0, 0.0
        if "vote_average" in found:
            ratings = len(rows) - found["vote_average"].null_count
            beyond = pc.sum(pc.greater(found["vote_average"], self._scale)).as_py() or 0
            largest = pc.max(found["vote_average"]).as_py() or 0.0
            if self._scale != 10:
                # In this order: 41 of 100 is 4.1, and 41 * 0.1 is not.
                found["vote_average"] = pc.divide(pc.multiply(found["vote_average"], 10.0), self._scale)
        if "title" in found and "release_date" not in found:
            found["title"], found["release_date"] = _year_of_title(found["title"])
        found["source"] = pa.repeat(self._source, len(rows))
        found |= {field.name: pa.nulls(len(rows), field.type) for field in MOVIE if field.name not in found}
        if "id" in self._fields.names:
            found["id"] = _ids(found)
        table = pa.table([found[name] for name in MOVIE.names], MOVIE)
        if broken:
            kept = np.ones(len(table), dtype=bool)
            kept[list(broken)] = False
            table = table.filter(kept)
        return Converted(table, broken, unread, ratings, beyond, largest)

    def readable(self, field: str, choice: Choice, rows: pa.Table) -> tuple[int, int, str | None]:
        """The evidence for a choice: how many values there are, how many can be read, and one that cannot be read."""
        read = self._choice(field, choice, rows)
        unread = np.zeros(len(rows), dtype=bool)
        unread[list(read.unread)] = True
        if is_language(choice):
            codes = [cells.is_language_code(str(text or "")) for text in rows[choice.columns[0]].to_pylist()]
            unread |= np.array(codes, dtype=bool) if field == "spoken_languages" else ~np.array(codes, dtype=bool)
        valid = read.values.is_valid().to_numpy(zero_copy_only=False)
        there, readable = valid | unread, valid & ~unread
        example = _shown([choice], rows, int(np.argmax(unread))) if unread.any() else None
        return int(there.sum()), int(readable.sum()), example

    def _field(self, field: str, rows: pa.Table) -> Read:
        """The values of the field: in each row the first choice that can be read."""
        read = self._choice(field, self._choices[field][0], rows)
        for choice in self._choices[field][1:]:
            if read.values.null_count == 0:
                break
            other = self._choice(field, choice, rows)
            missing = read.values.is_null()
            values = pc.if_else(missing, other.values, read.values)
            read = Read(values, sorted({*read.unread, *other.unread}))
        if len(read.unread) and len(self._choices[field]) > 1:
            nulls = read.values.is_null().to_numpy(zero_copy_only=False)
            read = Read(read.values, [row for row in read.unread if nulls[row]])
        return read

    def _choice(self, field: str, choice: Choice, rows: pa.Table) -> Read:
        parts = [self._column(field, name, rows[name]) for name in choice.columns]
        return parts[0] if len(parts) == 1 else _joined(parts)

    def _column(self, field: str, name: str, column: pa.ChunkedArray) -> Read:
        type_ = column.type
        column = column.combine_chunks()
        if field in TEXTS and not pa.types.is_nested(type_):
            return Read(_texts(column))
        if field in LISTS:
            return _lists(column)
        if field == "collection":
            return _collections(column)
        if pa.types.is_nested(type_):
            return _none(column, MOVIE.field(field).type)
        if field == "adult":
            return Read(column) if pa.types.is_boolean(type_) else _by_spelling(column, cells.truth, pa.bool_())
        if field == "release_date":
            return self._days(name, column)
        if field == "original_language":
            return _by_spelling(column, str, pa.string())
        return self._numbers(field, column)

    def _days(self, name: str, column: pa.Array) -> Read:
        type_ = column.type
        if pa.types.is_date(type_) or pa.types.is_timestamp(type_):
            return _of_the_calendar(column.cast(pa.date32(), safe=False))
        text = column.cast(pa.string())
        return _with_the_odd(text, PLAIN_DAY, pa.date32(), lambda day: cells.day(day, lambda: self._is_day_first(name)))

    def _is_day_first(self, name: str) -> bool:
        with self._asking:
            return self._day_first(name)

    def _numbers(self, field: str, column: pa.Array) -> Read:
        type_ = pa.int64() if field in WHOLE else pa.float64()
        unread: Sequence[int] = ()
        if pa.types.is_integer(column.type):
            numbers = column.cast(type_, safe=False)
        elif pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
            numbers = column.cast(pa.float64())
            unread = pc.indices_nonzero(pc.is_inf(numbers)).to_pylist()
            numbers = _finite(numbers)
            if field in WHOLE:
                whole = pc.equal(numbers, pc.floor(numbers))
                unread = sorted({*unread, *pc.indices_nonzero(pc.invert(whole)).to_pylist()})
                numbers = pc.if_else(whole, numbers, None).cast(type_, safe=False)
        else:
            plain = PLAIN_WHOLE if field in WHOLE else PLAIN_NUMBER
            read = _with_the_odd(column.cast(pa.string()), plain, type_, self._reader(field))
            numbers, unread = read.values, read.unread
            if field not in WHOLE:
                unread = sorted({*unread, *pc.indices_nonzero(pc.is_inf(numbers)).to_pylist()})
                numbers = _finite(numbers)
        if field == "runtime":
            # Tables write 0 for an unknown runtime.
            impossible = pc.or_(pc.less(numbers, 0), pc.greater_equal(numbers, LONGEST_RUNTIME))
            unread = sorted({*unread, *pc.indices_nonzero(impossible).to_pylist()})
            possible = pc.and_(pc.greater_equal(numbers, 0.5), pc.less(numbers, LONGEST_RUNTIME))
            numbers = pc.round(pc.if_else(possible, numbers, None)).cast(pa.int32())
        if field == "budget":
            # Here too, 0 is unknown. More dollars than any film had are those of another currency.
            impossible = pc.or_(pc.less(numbers, 0), pc.greater(numbers, MAX_BUDGET))
            unread = sorted({*unread, *pc.indices_nonzero(impossible).to_pylist()})
            possible = pc.and_(pc.greater(numbers, 0), pc.less_equal(numbers, MAX_BUDGET))
            numbers = pc.if_else(possible, numbers, None)
        return Read(numbers, unread)

    def _reader(self, field: str) -> Callable[[str], float]:
        readers: dict[str, Callable[[str], float]] = {
            "id": cells.identifier,
            "vote_count": cells.count,
            "runtime": cells.minutes,
            "budget": cells.dollars,
            "vote_average": lambda text: cells.rating(text, self._scale),
        }
        return readers.get(field, cells.amount)


def _shown(choices: Sequence[Choice], rows: pa.Table, row: int) -> str:
    """The value of a row as a message quotes it: that of the first column with a value."""
    values = [_python(rows[name][row]) for choice in choices for name in choice.columns]
    found = next((value for value in values if value not in (None, "")), None)
    text = repr(found)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _python(value: pa.Scalar) -> Any:
    """The value in Python; as text if Python has no such value, as the day of a year above 9999."""
    try:
        return value.as_py()
    except (ValueError, OverflowError):
        return value.cast(pa.string()).as_py()


def _of_the_calendar(days: pa.Array) -> Read:
    """The days; those of years that Python does not know cannot be read."""
    numbers = days.cast(pa.int32())
    beyond = pc.or_(pc.less(numbers, FIRST_DAY), pc.greater(numbers, LAST_DAY))
    unread = pc.indices_nonzero(beyond).to_pylist()
    return Read(pc.if_else(beyond, None, days) if unread else days, unread)


def _texts(column: pa.Array) -> pa.Array:
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
        return _by_spelling(column, cells.names, NAMES, LONGEST_LIST)
    inner = column.type.value_type
    if pa.types.is_struct(inner):
        if inner.get_field_index("name") < 0:
            return _none(column, NAMES)
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
        named = pc.struct_field(column.flatten(), "name").cast(pa.string())
        return Read(_without_gaps(pa.ListArray.from_arrays(offsets, named, mask=column.is_null())))
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_dictionary, pa.types.is_binary, pa.types.is_null)
    return Read(_without_gaps(column.cast(NAMES))) if any(is_text(inner) for is_text in texts) else _none(column, NAMES)


def _without_gaps(lists: pa.ListArray) -> pa.Array:
    """The lists without the missing names among their names."""
    if not lists.flatten().null_count:
        return lists
    return pa.array([row and [name for name in row if name is not None] for row in lists.to_pylist()], NAMES)


def _collections(column: pa.Array) -> Read:
    """Names of collections, which may be objects: typed ones, or written ones as `cells.collection` reads them."""
    if pa.types.is_struct(column.type) and column.type.get_field_index("name") >= 0:
        names = pc.struct_field(column, "name")
        return _none(column, pa.string()) if pa.types.is_nested(names.type) else _collections(names)
    if pa.types.is_nested(column.type):
        return _none(column, pa.string())
    return _by_spelling(column, cells.collection, pa.string(), LONGEST_COLLECTION)


def _joined(parts: Sequence[Read]) -> Read:
    """The lists of several columns, one behind the other; null where all are null."""
    lists = [part.values.to_pylist() for part in parts]
    rows = [[name for values in row for name in values or ()] for row in zip(*lists, strict=True)]
    known = np.any([part.values.is_valid().to_numpy(zero_copy_only=False) for part in parts], axis=0)
    values = pa.array([row if there else None for row, there in zip(rows, known, strict=True)], NAMES)
    return Read(values, sorted({row for part in parts for row in part.unread}))


def _finite(numbers: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_finite(numbers), numbers, None)


def _none(column: pa.Array, type_: pa.DataType) -> Read:
    """The result for a column that cannot be read as ``type_``: nulls, and every cell unreadable."""
    return Read(pa.nulls(len(column), type_), pc.indices_nonzero(column.is_valid()).to_pylist())


def _with_the_odd(text: pa.Array, plain: str, type_: pa.DataType, read: Callable[[str], Any]) -> Read:
    """The cells as ``type_``: Arrow casts those of the pattern ``plain``, ``read`` reads the others."""
    try:
        return Read(text.cast(type_))
    except pa.ArrowInvalid:
        pass
    is_plain = pc.fill_null(pc.match_substring_regex(text, plain), False)
    try:
        values = pc.if_else(is_plain, text, None).cast(type_)
    except pa.ArrowInvalid:  # such as 2010-02-31
        is_plain = pa.repeat(False, len(text))
        values = pa.nulls(len(text), type_)
    odd = pc.and_(pc.invert(is_plain), text.is_valid())
    found = _by_spelling(text.filter(odd), read, type_)
    rows = pc.indices_nonzero(odd)
    unread = rows.take(pa.array(found.unread, pa.int64())).to_pylist()
    return Read(pc.replace_with_mask(values, odd, found.values), unread)


def _by_spelling(column: pa.Array, read: Callable[[str], Any], type_: pa.DataType, longest: int = LONGEST) -> Read:
    """Apply ``read`` to each value; ``read`` raises ValueError for a value that it cannot read.

    A value of more than ``longest`` characters is not read: reading it could take minutes.
    """
    # A column holds few distinct texts in many rows: each distinct text is read once.
    spellings = column.cast(pa.string()).dictionary_encode()
    known: list[Any] = []
    unread = []
    for code, spelling in enumerate(spellings.dictionary.to_pylist()):
        text = spelling.strip()
        try:
            if len(text) > longest:
                raise ValueError("too long")
            known.append(None if text.lower() in UNKNOWN else read(text))
        except (ValueError, OverflowError):
            known.append(None)
            unread.append(code)
    rows = pc.indices_nonzero(pc.is_in(spellings.indices, pa.array(unread, pa.int32()))) if unread else pa.array([])
    return Read(pa.array(known, type_).take(spellings.indices), rows.to_pylist())


def _year_of_title(titles: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Split titles such as "Film (1995)", as MovieLens writes them, into the title and the first day of the year."""
    parts = pc.extract_regex(titles, r"^(?P<title>.*\S)\s*\((?P<year>[0-9]{4})\)$")
    found = parts.is_valid()
    years = pc.binary_join_element_wise(pc.struct_field(parts, "year"), "01-01", "-")
    days = pc.if_else(pc.not_equal(pc.struct_field(parts, "year"), "0000"), years, None).cast(pa.date32())
    return pc.if_else(found, pc.struct_field(parts, "title"), titles), days


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
