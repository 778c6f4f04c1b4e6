"""The movie records of users' tables, for fetch. Broken rows are reported with their line and skipped."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Protocol, TypeVar

import pyarrow as pa

from movie_ratings.core.errors import UserError
from movie_ratings.sources.fetch_report import FetchReport
from movie_ratings.sources.tables import columns
from movie_ratings.sources.tables.chunks import Broken, Chunk, Part
from movie_ratings.sources.tables.columns import KNOWN, Fields
from movie_ratings.sources.tables.convert import Converted
from movie_ratings.sources.tables.reader import Options, Reader, TableReport, Tabular

FIELDS: Final = Fields(names=tuple(KNOWN), needed=(("title",), ("summary",), ("vote_average",)))
SHOWN: Final = 5  # broken rows of a table that are printed
LISTED: Final = 10_000  # broken rows that are listed in data/raw/failed.jsonl
THREADS: Final = min(4, os.cpu_count() or 1)  # more threads would wait for the writer
FEW: Final = 50  # ratings that are too few to doubt the scale because none is large
BEYOND: Final = 0.02  # share of the ratings above the scale from which the scale must be wrong

Given = TypeVar("Given")
Result = TypeVar("Result")


class FromTables(Protocol):
    """The parameters of a source of tables: ``fetch.files`` or ``fetch.hub``."""

    @property
    def mapping(self) -> Mapping[Any, Any]:
        """The columns that the user chose for fields."""
        ...

    @property
    def rating_scale(self) -> float:
        """The best possible rating."""
        ...

    @property
    def max_bad_share(self) -> float:
        """The share of broken rows above which reading fails."""
        ...


def batches(
    tables: Sequence[Tabular], source: str, params: FromTables, report: FetchReport
) -> Iterator[pa.RecordBatch]:
    """The movies of the tables, in order; ``report`` is complete after the last batch.

    Raises:
        UserError: a table cannot be read, has no column for title, summary or rating, or has ratings above the scale;
            or too many rows are broken.
    """
    report.counts = {"read": 0, "broken": 0}
    parameter = f"fetch.{source}.mapping"
    options = Options(source, FIELDS, params.mapping, parameter, params.rating_scale, shares_ids=len(tables) > 1)
    for table in tables:
        reader = Reader(table, options)
        found = reader.report()
        report.tables.append(found)
        yield from _of_table(reader, found, report)
        _require_scale(found, source, params.rating_scale)
    for found in report.tables:
        for name, count in sorted(found.unread.items()):
            report.counts[f"unreadable_{name}"] = report.counts.get(f"unreadable_{name}", 0) + count
    require_few_broken(source, report, params.max_bad_share)


def described(table: Tabular, source: str, params: FromTables, shares_ids: bool) -> tuple[TableReport, str | None]:
    """The report of a table that is read to its end and not kept, and what prevents fetch from reading the table.

    ``shares_ids`` is that of `Options`.

    Raises:
        UserError: the table cannot be read at all.
    """
    parameter = f"fetch.{source}.mapping"
    every = Fields(FIELDS.names, needed=())
    reader = Reader(table, Options(source, every, params.mapping, parameter, params.rating_scale, shares_ids))
    found = reader.report()
    for part in reader.parts():
        chunk = part()
        converted, broken = reader.convert(chunk)
        found.add(chunk, converted, len(broken))
    try:
        columns.suggested(reader.names, params.mapping, FIELDS, parameter)
        _require_scale(found, source, params.rating_scale)
    except UserError as error:
        return found, str(error)
    return found, None


def _of_table(reader: Reader, found: TableReport, report: FetchReport) -> Iterator[pa.RecordBatch]:
    def read(part: Part) -> tuple[Chunk, Converted, list[Broken]]:
        chunk = part()
        return chunk, *reader.convert(chunk)

    shown = 0
    for chunk, converted, broken in _in_threads(read, reader.parts()):
        list_broken(found.table, broken, shown, report, found.unit)
        shown += len(broken)
        found.add(chunk, converted, len(broken))
        report.counts["read"] += len(converted.movies)
        report.counts["broken"] += len(broken)
        yield from converted.movies.combine_chunks().to_batches()


def _require_scale(found: TableReport, source: str, scale: float) -> None:
    if found.beyond > BEYOND * found.ratings:
        raise UserError(
            f"{found.table}: {found.beyond:,} of {found.ratings:,} ratings are above {scale:g}, the largest is "
            f"{found.largest:g}: set fetch.{source}.rating_scale to the best possible rating of the table"
        )
    if found.ratings >= FEW and found.largest <= scale / 2:
        print(
            f"{found.table}: no rating is above {found.largest:g}; if the best possible one is not {scale:g}, "
            f"set fetch.{source}.rating_scale",
            file=sys.stderr,
        )


def list_broken(table: str, broken: Sequence[Broken], shown: int, report: FetchReport, unit: str = "line") -> None:
    """Print and list broken rows of a table of which ``shown`` are printed already, within `SHOWN` and `LISTED`."""
    for row in broken[: max(0, SHOWN - shown)]:
        print(f"{table} {unit} {row.line}: {row.reason}; skipped: {row.text[:60]!r}", file=sys.stderr)
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
