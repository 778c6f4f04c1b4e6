"""Predictions for the movies of a pandas DataFrame.

The frame is read as a table is: `movie_ratings.sources.tables` chooses its columns and converts its cells.
"""

import functools
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, get_args

import numpy as np
import pyarrow as pa

from movie_ratings.core.checks import SHOWN, shortened
from movie_ratings.core.errors import UserError, first_line
from movie_ratings.movies.labels import CLASSES
from movie_ratings.prediction import bulk
from movie_ratings.prediction.classifier import Classifier, Decision, Prediction
from movie_ratings.prediction.movie_table import FIELDS, field_of, read_movies, reading_of
from movie_ratings.sources.tables.chunks import SMALL, Chunk, Part
from movie_ratings.sources.tables.reader import Reader, TableReport
from movie_ratings.sources.tables.table import require_distinct

if TYPE_CHECKING:
    import pandas as pd

# The columns of the result.
COLUMNS: Final = tuple(bulk.columns(Prediction("", dict.fromkeys(CLASSES, 0.0), 0.0, (0.0, 0.0))))
NAME: Final = "the frame"  # in messages
DEEPEST: Final = 10  # lists and objects in each other: the cast of a film, as TMDB's dumps write it, has two
# The types that the converter reads as they are. Cells of every other type, and of mixed types, are read as text.
TYPED: Final = (
    pa.types.is_null, pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal,
    pa.types.is_date, pa.types.is_timestamp, pa.types.is_string, pa.types.is_large_string, pa.types.is_struct,
)  # fmt: skip
LISTED: Final = (pa.types.is_null, pa.types.is_string, pa.types.is_large_string, pa.types.is_struct)


def predict_frame(
    classifier: Classifier, frame: "pd.DataFrame", decision: Decision, mapping: Mapping[str, Any]
) -> "pd.DataFrame":
    """See `Classifier.predict_frame`, which is the one caller: warnings name the line of the caller's caller."""
    try:
        import pandas as pd
    except ImportError:
        raise UserError("predict_frame: pandas is not installed; pip install pandas") from None
    if not isinstance(frame, pd.DataFrame):
        raise UserError(f"predict_frame: expected a pandas DataFrame, found {type(frame).__name__}")
    if decision not in get_args(Decision):
        raise UserError(f"predict_frame: decision must be {' or '.join(get_args(Decision))}, found {decision!r}")
    table = _Frame(frame)
    reader = Reader(table, reading_of(_chosen(mapping), "mapping"))
    report = reader.report()
    found: list[dict[str, Any]] = []
    for part in reader.parts():
        movies = read_movies(reader, part(), report, table.place)
        found += [bulk.columns(prediction.decided(decision)) for prediction in classifier.predict_validated(movies)]
    for field in report.unread:
        warnings.warn(_remark(report, field, table), stacklevel=3)
    types = {name: "str" if name == "label" else "float64" for name in COLUMNS}
    columns = {name: pd.array([row[name] for row in found], dtype=type_) for name, type_ in types.items()}
    # A copy of the index: whoever renames that of the result does not rename that of the frame.
    result = pd.DataFrame(columns, index=frame.index.copy())
    result.attrs["read"] = {field: [str(choice) for choice in some] for field, some in report.columns.items()}
    result.attrs["not_read"] = list(report.unused)
    return result


class _Frame:
    """A DataFrame as a table with rows from 0 on: `Reader` reads it as it reads a Parquet file."""

    def __init__(self, frame: "pd.DataFrame"):
        self._frame = frame
        self._names = [str(name) for name in frame.columns]

    def __str__(self) -> str:
        return NAME

    @property
    def unit(self) -> str:
        """What numbers of rows count."""
        return "row"

    def columns(self) -> list[str]:
        """The names of the columns, as text."""
        return self._names

    def parts(self, names: Sequence[str], needed: Sequence[str]) -> Iterator[Part]:
        """The columns ``names``, typed where the cells of a part have a type in common."""
        try:
            require_distinct(self._names, names)
        except UserError as error:
            raise UserError(f"{NAME}: {error}") from None
        for first in range(0, len(self._frame), SMALL.rows):
            yield functools.partial(self._part, first, names)

    def place(self, row: int) -> str:
        """A row in messages: its label, and its position where another row may have the same label."""
        index = self._frame.index
        shown = f"row {_label(index[row])}"
        return shown if index.is_unique else f"{shown} at position {row}"

    def _part(self, first: int, names: Sequence[str]) -> Chunk:
        rows = self._frame.iloc[first : first + SMALL.rows]
        columns = {name: self._column(rows.iloc[:, self._names.index(name)], name, first) for name in names}
        return Chunk(pa.table(columns), lambda: range(first, first + len(rows)))

    def _column(self, cells: "pd.Series", name: str, first: int) -> Any:
        # Arrow would follow a list that holds itself until the process ends.
        for row, cell in enumerate(cells if cells.dtype == object else (), first):
            if _is_deep(cell):
                raise UserError(f"{self.place(row)}: column {name!r} cannot be read (nested too deeply)")
        try:
            column = pa.array(cells, from_pandas=True)
            if pa.types.is_dictionary(column.type):
                column = column.cast(column.type.value_type)
            column.validate(full=True)
        # What Arrow raises for cells without a type in common, and for texts that are not valid Unicode.
        except (pa.ArrowException, ValueError, TypeError, ArithmeticError):
            return self._texts(cells, name, first)
        return column if _is_typed(column.type) else self._texts(cells, name, first)

    def _texts(self, cells: "pd.Series", name: str, first: int) -> Any:
        texts: list[str | None] = []
        try:
            for cell in cells:
                texts.append(_text(cell))
        except ValueError as error:
            place = self.place(first + len(texts))
            raise UserError(f"{place}: column {name!r} cannot be read ({first_line(error)})") from None
        return pa.array(texts, pa.string())


def _chosen(mapping: Mapping[str, Any]) -> dict[str, list[str]]:
    """The columns of each field that a caller chose; none for a field that no column fills."""
    found: dict[str, list[str]] = {}
    for name, given in mapping.items():
        field = field_of(name)
        if field is None:
            expected = ", ".join(FIELDS.names)
            raise UserError(f"mapping: no field is called {name!r}; expected one of {expected}")
        names = given if isinstance(given, list | tuple) else [given]
        found[field] = [*found.get(field, []), *(str(column) for column in names if column is not None)]
    return found


def _is_typed(type_: pa.DataType) -> bool:
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return any(is_type(type_.value_type) for is_type in LISTED)
    return any(is_type(type_) for is_type in TYPED)


def _is_deep(cell: Any, depth: int = 0) -> bool:
    """Whether the cell is nested more deeply than `DEEPEST`, as a list that holds itself is."""
    if isinstance(cell, dict):
        cell = cell.values()
    elif isinstance(cell, np.ndarray):
        cell = cell.flat if cell.dtype == object else ()
    elif not isinstance(cell, list | tuple | set | frozenset):
        return False
    return depth == DEEPEST or any(_is_deep(inner, depth + 1) for inner in cell)


def _text(cell: Any) -> str | None:
    """A cell as a column of JSON holds it: text as it is, lists and numbers as JSON, and null for what is missing."""
    value = _plain(cell)
    text = value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # Half of a surrogate pair is no text.
    return None if text is None else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _plain(value: Any) -> Any:
    """The value as JSON knows it: what is missing is None, and dates are texts.

    Raises:
        ValueError: bytes that are not UTF-8.
    """
    import pandas as pd

    if isinstance(value, str | bool | int):
        return value
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, set | frozenset):
        return [_plain(inner) for inner in sorted(value, key=str)]
    if isinstance(value, np.ndarray):
        value = list(np.atleast_1d(value))
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, Decimal):  # pandas fails at a NaN that signals
        return None if value.is_nan() else str(value)
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return None
    value = value.item() if isinstance(value, np.number | np.bool_) else value
    return value if isinstance(value, bool | int | float) else str(value)


def _label(label: Any) -> str:
    """The label of a row in one line."""
    if isinstance(label, tuple):
        return f"({', '.join(map(_label, label))})"
    return shortened(label) if isinstance(label, str) else " ".join(str(label).split())[:SHOWN]


def _remark(report: TableReport, field: str, table: _Frame) -> str:
    """What a warning says about the values of a field that could not be read."""
    count, (row, value) = report.unread[field], report.first_unread[field]
    columns = ", else ".join(str(choice) for choice in report.columns[field])
    return (
        f"{field} from {columns}: {count:,} value{'s'[: count > 1]} cannot be read and count{'s'[: count == 1]} as not "
        f"known, the first in {table.place(row)}: {value}"
    )
