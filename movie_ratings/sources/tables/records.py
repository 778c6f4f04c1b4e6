"""The movie records of one table. Broken rows are reported with their line and skipped."""

import functools
import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Protocol, TypeVar

import pyarrow as pa

from movie_ratings.core.errors import UserError, first_line
from movie_ratings.sources.fetch_report import FetchReport
from movie_ratings.sources.tables.cells import day_parts
from movie_ratings.sources.tables.chunks import Broken, Chunk, Part
from movie_ratings.sources.tables.mapping import NEEDED, Converted, Records, match

SHOWN: Final = 5  # broken rows of a table that are printed
LISTED: Final = 10_000  # broken rows that are listed in data/raw/failed.jsonl
THREADS: Final = min(4, os.cpu_count() or 1)  # more threads would wait for the writer

Given = TypeVar("Given")
Result = TypeVar("Result")


class Tabular(Protocol):
    """A table with named columns that can be read more than once; see `movie_ratings.sources.tables.table.Table`."""

    def __str__(self) -> str: ...

    def columns(self) -> list[str]:
        """The names of the columns."""
        ...

    def parts(self, names: Sequence[str], needed: Sequence[str]) -> Iterator[Part]:
        """The columns ``names``, some rows at a time. A row that is too short for the columns ``needed`` is broken."""
        ...


def record_batches(
    table: Tabular, source: str, mapping: Mapping[Any, str], scale: float, report: FetchReport
) -> Iterator[pa.RecordBatch]:
    """The movies of a table, in order. ``report`` receives the counts of read and broken rows.

    Raises:
        UserError: the table cannot be read, or has no column for title, summary or rating.
    """
    names = table.columns()
    try:
        columns = match(names, mapping, f"fetch.{source}.mapping")
    except UserError as error:
        raise UserError(f"{table}: {error}") from None
    records = Records(source, scale, functools.cache(lambda: _day_first(table, columns["release_date"])))

    def read(part: Part) -> tuple[Chunk, Converted]:
        chunk = part()
        try:
            return chunk, records.convert(chunk.rows, columns)
        except pa.ArrowException as error:
            raise UserError(f"{table}: a column that cannot be read ({first_line(error)})") from None

    shown = 0
    unreadable: Counter[str] = Counter()
    parts = table.parts(list(dict.fromkeys(columns.values())), [columns[field] for field in NEEDED])
    for chunk, found in _in_threads(read, parts):
        broken = _broken(chunk, found, columns["title"])
        list_broken(str(table), broken, shown, report)
        shown += len(broken)
        report.counts["read"] += len(found.movies)
        report.counts["broken"] += len(broken)
        unreadable += found.unreadable
        yield from found.movies.combine_chunks().to_batches()
    for field, count in sorted(unreadable.items()):
        report.counts[f"unreadable_{field}"] = report.counts.get(f"unreadable_{field}", 0) + count


def list_broken(table: str, broken: Sequence[Broken], shown: int, report: FetchReport) -> None:
    """Print and list broken rows of a table of which ``shown`` are printed already, within `SHOWN` and `LISTED`."""
    for row in broken[: max(0, SHOWN - shown)]:
        print(f"{table} line {row.line}: {row.reason}; skipped: {row.text[:60]!r}", file=sys.stderr)
    report.failed += [
        {"table": table, "line": row.line, "reason": row.reason, "text": row.text[:200]}
        for row in broken[: max(0, LISTED - len(report.failed))]
    ]


def require_few_broken(source: str, report: FetchReport, share: float) -> None:
    """Check the share of broken rows.

    Raises:
        UserError: more than ``share`` of the rows are broken.
    """
    broken, rows = report.counts["broken"], report.counts["read"] + report.counts["broken"]
    if broken > share * rows:
        first = report.failed[0]
        raise UserError(
            f"fetch.{source}.max_bad_share: {broken:,} of {rows:,} rows are broken, the first is "
            f"{first['table']} line {first['line']}: {first['reason']}"
        )


def _broken(chunk: Chunk, found: Converted, title: str) -> list[Broken]:
    """The rows that failed while reading and those that failed in conversion, in the order of their lines."""
    broken = list(chunk.broken)
    if found.broken:
        lines = chunk.lines()
        broken += [Broken(lines[row], reason, str(chunk.rows[title][row])) for row, reason in found.broken.items()]
    return sorted(broken, key=lambda row: row.line)


def _day_first(table: Tabular, column: str) -> bool:
    """Whether 3/4/2005 is the third of April: decided by the dates of the column that have only one meaning.

    Without such dates, 3.4.2005 is read with the day first, and 3/4/2005 and 3-4-2005 with the month first.
    """
    day_first = month_first = points = 0
    for part in table.parts([column], []):
        for text, times in _counted(part().rows[column]):
            first, second = day_parts(text.strip()) or (0, 0)
            day_first += times * (first > 12 >= second > 0)
            month_first += times * (second > 12 >= first > 0)
            points += "." in text
    return day_first > month_first if day_first or month_first else points > 0


def _counted(column: pa.ChunkedArray) -> Iterator[tuple[str, int]]:
    """Each distinct text of a column with its count."""
    for found in column.cast(pa.string()).drop_null().value_counts():
        yield found["values"].as_py(), found["counts"].as_py()


def _in_threads(work: Callable[[Given], Result], items: Iterable[Given]) -> Iterator[Result]:
    """The results in the order of the items. An item is taken only when a thread is free for it."""
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > THREADS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
