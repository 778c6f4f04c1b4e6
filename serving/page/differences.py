"""What if a movie were another: its answer beside the answer of the first variant, as HTML."""

from collections.abc import Mapping
from typing import Any, Final

from movie_ratings.prediction.classifier import Prediction
from serving.page.answer import Basis, difference, label, probabilities
from serving.page.form import INPUTS
from serving.page.markup import items, shown
from serving.page.scale import scale

VALUE: Final = 80  # characters of a value that differs


def compared(
    movie: Mapping[str, Any],
    prediction: Prediction,
    basis: Basis,
    first: tuple[Mapping[str, Any], Prediction] | None = None,
) -> str:
    """The answer of a variant. With ``first``, also the differences to the movie and the answer of the first one."""
    low, high = prediction.interval_80
    rating = f"<strong>{prediction.predicted_rating:.1f}</strong>"
    if first:
        rating += difference(round(prediction.predicted_rating, 1) - round(first[1].predicted_rating, 1), 1)
    return (
        f"{label(prediction, 'h4')}"
        f'<p class="figure">{rating} of 10, 80% interval {low:.1f} to {high:.1f}</p>'
        f"{scale(prediction, basis.thresholds)}"
        f"{probabilities(prediction, basis.base_rates, first[1].probabilities if first else None)}"
        f"{changes(movie, first[0]) if first else ''}"
    )


def changes(movie: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    """Which fields differ from the first variant's, and how."""
    found = [
        f'<span class="field">{field.replace("_", " ")}</span> {_value(first, field)} → {_value(movie, field)}'
        for field in INPUTS
        if (movie.get(field) or None) != (first.get(field) or None)
    ]
    if not found:
        return '<p class="note">No difference to variant 1.</p>'
    return f'<p class="note">Different from variant 1:</p>{items(found, "changes")}'


def _value(movie: Mapping[str, Any], field: str) -> str:
    value = movie.get(field)
    if not value:
        return "<em>nothing</em>"
    return shown(", ".join(value) if isinstance(value, list) else value, VALUE)
