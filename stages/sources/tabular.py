"""Movies out of one table, wherever it comes from: broken rows are reported by their line and skipped."""

import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa

from stages.errors import UserError
from stages.schema import MOVIE
from stages.sources.mapping import NEEDED, Records, day_parts, match
from stages.sources.report import Report
from stages.sources.tables import Broken, Chunk

SHOWN = 5  # broken rows of a table that are printed
LISTED = 10_000  # broken rows that are listed in data/raw/failed.jsonl


class Tabular(Protocol):
    """What has named columns and can be read more than once: see `stages.sources.tables.Table`."""

    def __str__(self) -> str: ...

    def columns(self) -> list[str]:
        """The names of the columns."""
        ...

    def chunks(self, names: Sequence[str], needed: Sequence[str]) -> Iterator[Chunk]:
        """The named columns, some rows at a time."""
        ...


def movies(
    table: Tabular, source: str, mapping: Mapping[Any, str], scale: float, report: Report
) -> Iterator[pa.RecordBatch]:
    """The movies of a table, in order; ``report`` counts the rows that are read and those that are broken.

    Raises:
        UserError: the table cannot be read, or has no column for title, summary or rating.
    """
    try:
        columns = match(table.columns(), mapping)
    except UserError as error:
        raise UserError(f"{table}: {error}") from None
    fields = {column: field for field, column in columns.items()}
    records = Records(source, scale, functools.cache(lambda: _day_first(table, columns["release_date"])))
    shown = 0
    for chunk in table.chunks(list(fields), [columns[field] for field in NEEDED]):
        found, unreadable = records.convert({fields[name]: column for name, column in chunk.columns.items()})
        broken = chunk.broken + [
            Broken(chunk.lines[row], reason, str(chunk.columns[columns["title"]][row]))
            for row, reason in unreadable.items()
        ]
        for row in broken[: max(0, SHOWN - shown)]:
            print(f"{table} line {row.line}: {row.reason}; skipped: {row.text[:60]!r}", file=sys.stderr)
        shown += len(broken)
        report.failed += [
            {"table": str(table), "line": row.line, "reason": row.reason, "text": row.text[:200]}
            for row in broken[: max(0, LISTED - len(report.failed))]
        ]
        report.counts["read"] += len(found)
        report.counts["broken"] += len(broken)
        yield from found.to_arrow().cast(MOVIE).to_batches()
    for field, count in sorted(records.unreadable.items()):
        if count:
            report.counts[f"unreadable_{field}"] = report.counts.get(f"unreadable_{field}", 0) + count


def require_few_broken(report: Report, share: float) -> None:
    """Check the share of broken rows.

    Raises:
        UserError: it is above ``share``.
    """
    broken, rows = report.counts["broken"], report.counts["read"] + report.counts["broken"]
    if broken > share * rows:
        first = report.failed[0]
        raise UserError(
            f"max_bad_share: {broken:,} of {rows:,} rows are broken, the first is "
            f"{first['table']} line {first['line']}: {first['reason']}"
        )


def _day_first(table: Tabular, column: str) -> bool:
    """Whether 3/4/2005 is the third of April: what most dates of the column say that can mean only one thing.

    If none does, the point says day first and other marks month first.
    """
    day_first = month_first = points = 0
    for chunk in table.chunks([column], []):
        for text in chunk.columns[column].drop_nulls():
            first, second = day_parts(text.strip()) or (0, 0)
            day_first += first > 12 >= second > 0
            month_first += second > 12 >= first > 0
            points += "." in text
    return day_first > month_first if day_first or month_first else points > 0
