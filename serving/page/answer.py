"""What the model predicts of one movie, as HTML: label, rating, probabilities, reasons and comparable movies."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from movie_ratings.movies.labels import Thresholds
from movie_ratings.prediction import wording
from movie_ratings.prediction.classifier import Classifier, Comparable, Prediction
from movie_ratings.prediction.explain import LIMITS, Effect, Explanation
from serving.page.markup import items, note, percent, section, shown
from serving.page.scale import scale

# The two kinds of decision, as the radio of the page names them.
DECISIONS: Final = (
    ("balanced: rare classes are found too", "balanced"),
    ("the most probable class", "most_probable"),
)
FIELDS: Final = 8  # bars of fields at most
WORDS: Final = 10  # bars of words at most
NAME: Final = 60  # characters of a word or a value beside its bar


class Basis(NamedTuple):
    """What predictions are compared with: thresholds, base rates and version of the model that made them."""

    thresholds: Thresholds
    base_rates: Mapping[str, float]
    version: str

    @classmethod
    def of(cls, classifier: Classifier) -> "Basis":
        """The basis of ``classifier``."""
        return cls(classifier.metadata.thresholds, classifier.base_rates, classifier.version)


def heading(prediction: Prediction, basis: Basis) -> str:
    """The label of each decision, and the rating on its scale.

    The style sheet shows the label of the decision that the visitor has chosen.
    """
    low, high = prediction.interval_80
    return (
        f"{label(prediction)}"
        f'<p class="figure"><strong>{prediction.predicted_rating:.1f}</strong> of 10, '
        f"80% interval {low:.1f} to {high:.1f}</p>"
        f"{scale(prediction, basis.thresholds)}"
    )


def label(prediction: Prediction, tag: str = "h2") -> str:
    """The label as a heading, with a sentence if the label is not the most probable class."""
    why = wording.why_not_most_probable(prediction)
    if why is None:
        return f"<{tag}>{prediction.label}</{tag}>"
    return (
        f'<div class="balanced"><{tag}>{prediction.label}</{tag}>{note(why)}</div>'
        f'<div class="most-probable"><{tag}>{prediction.most_probable}</{tag}></div>'
    )


def details(explanation: Explanation, comparables: Sequence[Comparable], basis: Basis) -> str:
    """All of an answer below its `heading`."""
    return "".join(
        (
            section("Probabilities", probabilities(explanation.prediction, basis.base_rates)),
            _reasons(explanation),
            similar(comparables),
            note(f"Model {basis.version}"),
        )
    )


def probabilities(
    prediction: Prediction, base_rates: Mapping[str, float], first: Mapping[str, float] | None = None
) -> str:
    """A bar for each class with a mark at its base rate.

    With ``first``, the probabilities of another movie, each figure also has its difference to them.
    """
    return items(
        [
            f'<span class="name">{name}</span>'
            f'<span class="track" aria-hidden="true"><span class="bar {name}" style="width:{percent(share)}"></span>'
            f'<span class="usual" style="left:{percent(base_rates[name])}"></span></span>'
            f'<span class="figure">{share:.0%}{difference(100 * (share - first[name]), 0, " points") if first else ""}'
            "</span>"
            f'<span class="compared">{wording.compared(name, prediction, base_rates)}</span>'
            for name, share in prediction.probabilities.items()
        ],
        "bars classes",
    )


def difference(value: float, digits: int, unit: str = "") -> str:
    """A difference to the first variant: "(+0.3)", or "(±0)" where its digits are 0."""
    rounded = round(value, digits)
    written = f"{rounded:+.{digits}f}" if rounded else "±0"
    return f' <span class="difference">({written}{unit})</span>'


def similar(comparables: Sequence[Comparable]) -> str:
    """Rated movies that resemble the movie; empty if there are none."""
    if not comparables:
        return ""
    return section(
        "Comparable movies",
        items(
            [
                f'<span class="title">{shown(one.title)}{f" ({one.year})" if one.year else ""}</span> '
                f'<span class="figure">{one.rating:.1f}</span>'
                for one in comparables
            ],
            "comparables",
            "ol",
        ),
        note("Movies of the training data with their true ratings, the most similar first. They are for comparison."),
    )


def _reasons(explanation: Explanation) -> str:
    # A word that is all of its field has the field's bar.
    alone = {(field.field, field.text) for field in explanation.fields}
    # Nor does a word need a bar that moves nothing.
    others = [w for w in explanation.words if (w.field, w.text) not in alone and round(w.rating_effect, 2)]
    words = _strongest(others, WORDS)
    fields = _strongest(explanation.fields, FIELDS)
    largest = max((abs(effect.rating_effect) for effect in (*fields, *words)), default=0.0) or 1.0
    return section(
        "What moved the rating",
        "<h4>Fields</h4>",
        f'<div id="fields">{_bars(fields, largest)}</div>',
        "<h4>Words and names</h4>",
        _bars(words, largest),
        f"<details><summary>All words in their order</summary>{_text(explanation.words)}</details>",
        note(
            "By how much the predicted rating falls without it, in points of 10. A bar to the right raised the rating, "
            f"a bar to the left lowered it. Limits: {LIMITS}."
        ),
    )


def _strongest(effects: Sequence[Effect], count: int) -> list[Effect]:
    """Those that move the rating most, the strongest first."""
    return sorted(effects, key=lambda effect: -abs(effect.rating_effect))[:count]


def _bars(effects: Sequence[Effect], largest: float) -> str:
    """Bars to both sides of a middle, which stands for no effect; ``largest`` fills its side."""
    return items([_bar(effect, effect.rating_effect / largest) for effect in effects], "bars effects")


def _bar(effect: Effect, share: float) -> str:
    side = "for" if share >= 0 else "against"
    start = 0.5 + min(share, 0) / 2
    return (
        f'<span class="name"><span class="field">{_field(effect)}</span> {shown(effect.text, NAME)}</span>'
        f'<span class="track" aria-hidden="true">'
        f'<span class="bar {side}" style="left:{percent(start)};width:{percent(abs(share) / 2)}"></span></span>'
        f'<span class="figure">{_points(effect)}</span>'
    )


def _points(effect: Effect) -> str:
    points = round(effect.rating_effect, 2)
    return f"{points:+.2f}" if points else "0.00"


def _field(effect: Effect) -> str:
    return effect.field.replace("_", " ")


def _text(words: Sequence[Effect]) -> str:
    """The words of each field in their order, each marked by its effect on the rating."""
    largest = max((abs(word.rating_effect) for word in words), default=0.0) or 1.0
    marked = []
    for field, group in groupby(words, _field):
        text = " ".join(
            f'<span class="word {"for" if word.rating_effect >= 0 else "against"}" '
            f'style="--strength:{abs(word.rating_effect) / largest:.2f}">{shown(word.text, NAME)}</span>'
            for word in group
        )
        marked.append(f'<p class="words"><span class="field">{field}</span> {text}</p>')
    return "".join(marked)
