"""What if: one movie, and the same movie with other values of a field, each predicted.

Each ``--vary FIELD=VALUE,VALUE`` of the command line varies one field alone, whatever else is varied: each difference
to the movie as given then has one cause. Values stand between commas as in CSV, so that a value in quotes may hold
commas. ";" stands between the names of one list. An empty value means that the fact is not known.
"""

import csv
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from movie_ratings.core.checks import shortened
from movie_ratings.core.errors import UserError
from movie_ratings.movies.text import FIELDS, NAMES, NUMBERS, normalise
from movie_ratings.movies.validation import MovieError, ValidMovie, validated
from movie_ratings.prediction.classifier import Prediction

BETWEEN: Final = ";"  # names of one list
SHOWN: Final = 40  # characters of a value in the table
HEADS: Final = ("", "rating", "80% interval", "bad", "average", "good", "label", "difference")


class Variant(NamedTuple):
    """A movie with another ``value`` in ``field``; both are None for the movie as given."""

    movie: ValidMovie
    field: str | None = None
    value: str | int | list[str] | None = None

    @property
    def name(self) -> str:
        """The variant in words: "runtime 90"."""
        if self.field is None:
            return "as given"
        shown = ", ".join(self.value) if isinstance(self.value, list) else str(self.value or "not known")
        shown = normalise(shown)
        return f"{self.field} {shown if len(shown) <= SHOWN else f'{shown[: SHOWN - 1]}…'}"


def variants(movie: ValidMovie, flags: Sequence[str]) -> list[Variant]:
    """The movie as given, and one variant for each value of ``flags``, which are values of ``--vary``.

    Raises:
        UserError: a flag is no FIELD=VALUE,…, names a field twice, or has a value that the field cannot have; the
            message names the flag and the field.
    """
    found = [Variant(movie)]
    for flag in flags:
        field, values = _parsed(flag)
        if any(field == other.field for other in found):
            raise UserError(f"{_place(flag)}: give the field {field} once, with all its values between commas")
        for text in values:
            found.append(_variant(movie, field, text, _place(flag)))
    return found


def require_read(found: Sequence[Variant], fields: Sequence[str]) -> None:
    """Check that the model reads what is varied; ``fields`` are those that it reads.

    Raises:
        UserError: the model does not read a field, so that none of its values could change the prediction.
    """
    for each in found:
        if each.field is not None and each.field not in fields:
            raise UserError(f"--vary {each.field}: the model does not read {each.field}; it reads {', '.join(fields)}")


def difference(prediction: Prediction, as_given: Prediction) -> float:
    """By how many points the predicted rating lies above that of the movie as given."""
    return prediction.predicted_rating - as_given.predicted_rating


def table(found: Sequence[Variant], predictions: Sequence[Prediction]) -> list[str]:
    """The lines of a table: a row for each variant, the movie as given first."""
    rows: list[tuple[str, ...]] = [HEADS]
    for variant, prediction in zip(found, predictions, strict=True):
        low, high = prediction.interval_80
        change = f"{difference(prediction, predictions[0]):+.2f}" if variant.field else ""
        rows.append(
            (
                variant.name,
                f"{prediction.predicted_rating:.1f}",
                f"{low:.1f} to {high:.1f}",
                *(f"{probability:.0%}" for probability in prediction.probabilities.values()),
                prediction.label,
                change,
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    texts = (0, HEADS.index("label"))  # to the left; numbers stand to the right
    return [
        "  ".join(
            cell.ljust(width) if place in texts else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _parsed(flag: str) -> tuple[str, list[str]]:
    """The field and the values of a flag, as texts."""
    name, equals, values = flag.partition("=")
    field = name.strip().replace("-", "_")
    if not equals or field not in FIELDS:
        raise UserError(
            f"{_place(flag)}: expected FIELD=VALUE,VALUE,…, where FIELD is one of {', '.join(FIELDS)}; "
            f"found the field {shortened(name)}"
        )
    try:
        (found, *others) = csv.reader([values], skipinitialspace=True, strict=True)
    except csv.Error as error:
        raise UserError(f"{_place(flag)}: the values of {field} cannot be read ({error})") from None
    assert not others
    return field, found or [""]


def _variant(movie: Mapping[str, Any], field: str, text: str, place: str) -> Variant:
    text = text.strip()
    value: Any = text or None
    if field in NUMBERS and text:
        try:
            value = int(text)
        except ValueError:
            raise UserError(f"{place}: {field} must be a whole number, found {shortened(text)}") from None
    elif field in NAMES:
        value = [name.strip() for name in text.split(BETWEEN) if name.strip()]
    try:
        return Variant(validated({**movie, field: value}), field, value)
    except MovieError as error:
        raise error.at(place) from None


def _place(flag: str) -> str:
    shown = normalise(flag)
    return f"--vary {shown if len(shown) <= SHOWN else f'{shown[: SHOWN - 1]}…'}"
