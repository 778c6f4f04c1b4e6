"""The first rows of a table with predictions, as an HTML table."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from movie_ratings.movies.labels import CLASSES
from serving.page.markup import note, shown

COLUMNS: Final = 12  # of the visitor's own
CELL: Final = 60  # characters
PREDICTED: Final = (
    "label", *(f"probability_{name}" for name in CLASSES),
    "predicted_rating", "predicted_rating_low", "predicted_rating_high",
)  # fmt: skip


def preview(rows: Sequence[Mapping[str, Any]], count: int) -> str:
    """The first ``rows`` of a result of ``count`` rows, which have the same keys.

    The predicted columns stand behind the first one.
    """
    if not rows:
        return ""
    given = [name for name in rows[0] if name not in PREDICTED]
    left_out = len(given) - COLUMNS
    # The first column, which is mostly a title or a number, says which row this is.
    names = [*given[:1], *(name for name in PREDICTED if name in rows[0]), *given[1:COLUMNS]]
    head = "".join(f'<th scope="col">{shown(name, CELL)}</th>' for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{_cell(row[name])}</td>' for name in names)}</tr>" for row in rows)
    caption = f"The first {len(rows)} of {count:,} rows"
    # What can be scrolled must be within reach of the keyboard.
    return (
        f'<div class="preview" role="region" aria-label="{caption}" tabindex="0">'
        f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        f"{note(f'{left_out:,} more columns are in the file.') if left_out > 0 else ''}"
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}"
    return shown(", ".join(map(str, value)) if isinstance(value, list) else value, CELL)
