"""Which words and which fields pushed a prediction: occlusion, the answer with and without each.

What it cannot tell: removing a word also breaks the sentence around it; two words that say the same hide each other's
weight; and it shows what moved this model, not what makes a film good.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from movie_ratings.model.decision import facts_known
from movie_ratings.movies.labels import CLASSES
from movie_ratings.movies.release import with_year
from movie_ratings.movies.text import NAMES, NUMBERS, has, names, normalise, number, without

if TYPE_CHECKING:
    from movie_ratings.prediction.classifier import Classifier

LIMITS: Final = "without it the sentence may break, and words that say the same hide each other's weight"


class Effect(NamedTuple):
    """What leaving ``text`` out of ``field`` takes from the answered label's probability: above 0, it spoke for it."""

    field: str
    text: str
    effect: float


class Explanation(NamedTuple):
    """The effect of each field that the movie has and of each word, in their order. A genre counts as a word."""

    label: str
    fields: list[Effect]
    words: list[Effect]


def explain(classifier: "Classifier", movie: Mapping[str, Any]) -> Explanation:
    """Explain the label of ``movie`` by occlusion: one prediction for each field and word that the model can reach.

    Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, for images.

    Raises:
        UserError: the movie cannot be read.
    """
    (prediction,) = classifier.predict([movie])
    movie = with_year(movie)
    fields = [name for name in classifier.metadata.text.fields if has(movie, name)]
    # More words than tokens never reach the model, and each costs a prediction.
    reach = classifier.metadata.text.max_length
    words = list(islice((word for name in fields for word in _words(movie, name)), reach))
    variants = [without(movie, [name]) for name in fields] + [rest for _, _, rest in words]
    # All are read as the whole movie was, or leaving out one fact too many would change the calibration.
    known = facts_known([movie], classifier.metadata.text.fields).repeat(len(variants))
    answered, _ = classifier.metadata.answerings.answer(classifier.logits(variants), known)
    probabilities = answered[:, CLASSES.index(prediction.label)]
    effects = (prediction.probabilities[prediction.label] - probabilities).tolist()
    return Explanation(
        prediction.label,
        [Effect(name, _text(movie, name), effect) for name, effect in zip(fields, effects, strict=False)],
        [Effect(name, word, effect) for (name, word, _), effect in zip(words, effects[len(fields) :], strict=True)],
    )


def strongest(effects: Sequence[Effect], count: int) -> list[Effect]:
    """The ``count`` effects that are farthest from 0, the strongest first."""
    return sorted(effects, key=lambda found: -abs(found.effect))[:count]


def _words(movie: Mapping[str, Any], field: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each word of a field, with its name and the movie without the word. A number is one word, a name another."""
    if field in NUMBERS:
        yield field, str(number(movie, field)), without(movie, [field])
        return
    words = names(movie, field) if field in NAMES else normalise(movie[field]).split(" ")
    for place, word in enumerate(words):
        rest = [*words[:place], *words[place + 1 :]]
        yield field, word, {**movie, field: rest if field in NAMES else " ".join(rest)}


def _text(movie: Mapping[str, Any], field: str) -> str:
    if field in NUMBERS:
        return str(number(movie, field))
    return ", ".join(names(movie, field)) if field in NAMES else str(movie[field])
