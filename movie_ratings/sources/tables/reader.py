"""Read one table as movie records: fetch and predict share this reader.

`Reader` chooses the columns and converts chunks of rows. `TableReport` collects what became of each column, of the
values that could not be read, and of the broken rows.
"""

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import pyarrow as pa

from movie_ratings.core.errors import UserError, first_line
from movie_ratings.sources.tables import cells, columns
from movie_ratings.sources.tables.chunks import Broken, Chunk, Part
from movie_ratings.sources.tables.columns import Choice, Fields
from movie_ratings.sources.tables.convert import Converted, Converter

SAMPLE: Final = 10_000  # rows from which a choice among columns is made


class Tabular(Protocol):
    """A table with named columns that can be read more than once; see `movie_ratings.sources.tables.table.Table`."""

    def __str__(self) -> str: ...

    @property
    def unit(self) -> str:
        """What the numbers of rows count: "line" or "row"."""
        ...

    def columns(self) -> list[str]:
        """The names of the columns."""
        ...

    def parts(self, names: Sequence[str], needed: Sequence[str]) -> Iterator[Part]:
        """The columns ``names``, some rows at a time. A row that is too short for the columns ``needed`` is broken."""
        ...


@dataclass(frozen=True)
class Options:
    """How a table is read.

    ``mapping`` has the columns that the user chose, and ``parameter`` is the name under which errors mention it.
    ``scale`` is the best possible rating. ``shares_ids`` says that another table is read into the same movies, so that
    a column named "id" cannot be trusted to identify a film.
    """

    source: str
    fields: Fields
    mapping: Mapping[Any, Any] = field(default_factory=dict)
    parameter: str = "mapping"
    scale: float = 10.0
    shares_ids: bool = False


@dataclass
class TableReport:
    """What became of a table: its columns, the values that could not be read, and the numbers of rows."""

    table: str
    unit: str
    columns: dict[str, list[Choice]]
    unused: dict[str, str | None]  # the column, and the reason if it was a candidate
    read: int = 0
    broken: int = 0
    ratings: int = 0
    beyond: int = 0
    largest: float = 0.0
    unread: Counter[str] = field(default_factory=Counter)
    first_unread: dict[str, tuple[int, str]] = field(default_factory=dict)  # of each field: the line and the value

    def add(self, chunk: Chunk, found: Converted, broken: int) -> None:
        """Count the rows of a chunk."""
        self.read += len(found.movies)
        self.broken += broken
        self.ratings += found.ratings
        self.beyond += found.beyond
        self.largest = max(self.largest, found.largest)
        for name, unread in found.unread.items():
            if name not in self.first_unread:
                self.first_unread[name] = (chunk.lines()[unread.row], unread.text)
            self.unread[name] += unread.count

    def absorb(self, other: "TableReport") -> None:
        """Add the counts of a report about later rows of the same table."""
        self.read += other.read
        self.unread += other.unread
        for name, (line, value) in other.first_unread.items():
            self.first_unread[name] = min(self.first_unread.get(name, (line, value)), (line, value))

    def as_dict(self) -> dict[str, Any]:
        """The report for metrics/details/fetch.json."""
        fields = {
            name: {"columns": [str(choice) for choice in some], "rule": some[0].rule}
            | (
                {"unread": self.unread[name], "line": self.first_unread[name][0], "value": self.first_unread[name][1]}
                if self.unread[name]
                else {}
            )
            for name, some in self.columns.items()
        }
        counts = {"read": self.read, "broken": self.broken}
        return {"table": self.table, **counts, "fields": fields, "unused": list(self.unused)}

    def lines(self) -> list[str]:
        """The report for people."""
        found = [f"{self.table}: {self.read:,} rows" + (f", {self.broken:,} broken" if self.broken else "")]
        width = max(map(len, self.columns), default=0)
        for name, some in self.columns.items():
            line = f"  {name:<{width}} from {', else '.join(str(choice) for choice in some)} ({some[0].rule})"
            if self.unread[name]:
                line += f"; {self.remark(name)}"
            found.append(line)
        reasons = [f"{name} ({reason})" if reason else name for name, reason in self.unused.items()]
        return [*found, f"  not read: {', '.join(reasons)}"] if reasons else found

    def remark(self, name: str) -> str:
        """One field's values that could not be read, in words."""
        count, (line, value) = self.unread[name], self.first_unread[name]
        return f"{count:,} value{'s'[: count > 1]} cannot be read, the first in {self.unit} {line}: {value}"


class Reader:
    """One table, and the choice of its columns."""

    def __init__(self, table: Tabular, options: Options):
        """Choose the columns, from their names and from the first rows.

        Raises:
            UserError: the table cannot be read, or has no column for a field that it must have.
        """
        self._table, self._options = table, options
        # One answer for each column: it can take a reading of the whole table.
        self._day_first = functools.cache(self._is_day_first)
        self.names = table.columns()
        try:
            suggested = columns.suggested(self.names, options.mapping, options.fields, options.parameter)
        except UserError as error:
            raise UserError(f"{table}: {error}") from None
        first = self._sample(suggested)
        lost: dict[str, str] = {}
        if first is not None:
            readable = functools.partial(self._converter(suggested).readable, rows=first)
            suggested, lost = columns.ranked(suggested, readable)
            if not self._identifies(suggested, first):
                lost |= dict.fromkeys(suggested.pop("id")[0].columns, "its numbers do not identify a film")
        self.choices = suggested
        self.unused = {name: lost.get(name) for name in columns.unused(self.names, self.choices)}
        self._convert = self._converter(self.choices)

    def report(self) -> TableReport:
        """An empty report."""
        return TableReport(str(self._table), self._table.unit, dict(self.choices), dict(self.unused))

    def parts(self, *, all_columns: bool = False) -> Iterator[Part]:
        """The rows with the chosen columns, or with ``all_columns``, some at a time."""
        chosen = [name for some in self.choices.values() for choice in some for name in choice.columns]
        needed = [
            name
            for group in self._options.fields.needed
            if len(group) == 1 and (some := self.choices.get(group[0]))
            for name in some[0].columns
        ]
        return self._table.parts(self.names if all_columns else list(dict.fromkeys(chosen)), needed)

    def convert(self, chunk: Chunk) -> tuple[Converted, list[Broken]]:
        """The movies of a chunk, and its broken rows in the order of their lines. Threads may call this together.

        Raises:
            UserError: a column cannot be read.
        """
        try:
            found = self._convert.convert(chunk.rows)
        except pa.ArrowException as error:
            raise UserError(f"{self._table}: a column that cannot be read ({first_line(error)})") from None
        broken = list(chunk.broken)
        if found.broken:
            lines = chunk.lines()
            text = chunk.rows[(self.choices.get("title") or self.choices["summary"])[0].columns[0]]
            broken += [Broken(lines[row], reason, str(text[row])) for row, reason in found.broken.items()]
        return found, sorted(broken, key=lambda row: row.line)

    def _converter(self, choices: columns.Choices) -> Converter:
        options = self._options
        return Converter(options.source, choices, options.fields, options.scale, self._day_first)

    def _sample(self, choices: columns.Choices) -> pa.Table | None:
        """The first rows of the columns among which a choice is to be made; None if there is no choice."""
        ambiguous = [
            choice
            for name, some in choices.items()
            for choice in some
            if len(some) > 1 or name == "id" or columns.is_language(choice)
        ]
        if not ambiguous:
            return None
        names = list(dict.fromkeys(name for choice in ambiguous for name in choice.columns))
        try:
            first = next(self._table.parts(names, []), None)
            return None if first is None else first().rows.slice(0, SAMPLE)
        except pa.ArrowException as error:
            raise UserError(f"{self._table}: a column that cannot be read ({first_line(error)})") from None

    def _identifies(self, choices: columns.Choices, rows: pa.Table) -> bool:
        """Whether the ids of the table are ids of films; also if the table has none."""
        if "id" not in choices or columns.is_global_id(choices["id"][0]):
            return True
        given = rows[choices["id"][0].columns[0]].drop_null()
        return not self._options.shares_ids and len(given.unique()) == len(given)

    def _is_day_first(self, column: str) -> bool:
        """Whether 3/4/2005 is the third of April: decided by the dates of the column that have only one meaning.

        Without such dates, 3.4.2005 is read with the day first, and 3/4/2005 and 3-4-2005 with the month first.
        """
        day_first = month_first = points = 0
        for part in self._table.parts([column], []):
            for found in part().rows[column].cast(pa.string()).drop_null().value_counts():
                text, times = found["values"].as_py(), found["counts"].as_py()
                first, second = cells.day_parts(text.strip()) or (0, 0)
                day_first += times * (first > 12 >= second > 0)
                month_first += times * (second > 12 >= first > 0)
                points += "." in text
        return day_first > month_first if day_first or month_first else points > 0
