"""Which words and fields pushed a prediction: occlusion, the prediction with and without each of them.

Limits of the method: leaving out a word also breaks the sentence around it; two words with the same meaning hide each
other's weight; and an effect shows what moved this model, not what makes a film good.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from movie_ratings.model.decision import facts_known
from movie_ratings.movies.labels import CLASSES
from movie_ratings.movies.release import with_year
from movie_ratings.movies.text import NAMES, NUMBERS, has, names, normalise, number, without
from movie_ratings.movies.validation import ValidMovie
from movie_ratings.prediction.steps import Steps, finish

if TYPE_CHECKING:
    from movie_ratings.prediction.classifier import Classifier, Prediction

LIMITS: Final = "without it the sentence may break, and words that say the same hide each other's weight"


class Effect(NamedTuple):
    """How much the predicted label's probability falls when ``text`` is left out of ``field``.

    An effect above 0 means that the text spoke for the label.
    """

    field: str
    text: str
    effect: float


class Explanation(NamedTuple):
    """A prediction, with the effect of each known field and of each word, in their order. A genre counts as a word."""

    prediction: "Prediction"
    fields: list[Effect]
    words: list[Effect]


def explain(classifier: "Classifier", movie: ValidMovie) -> Explanation:
    """Predict ``movie`` and explain the label by occlusion: one more prediction for each field and each word.

    Words beyond the number of tokens that the model reads are left out.

    Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, for images.
    """
    return finish(explain_in_steps(classifier, movie))


def explain_in_steps(classifier: "Classifier", movie: ValidMovie) -> Steps[Explanation]:
    """As `explain`, with pauses."""
    (prediction,) = yield from classifier.predict_in_steps([movie])
    # A movie with a day of release has a year; the request may have given only the day.
    movie = ValidMovie(with_year(movie))
    fields = [name for name in classifier.metadata.text.fields if has(movie, name)]
    # More words than tokens never reach the model, and each costs a prediction.
    reach = classifier.metadata.text.max_length
    words = list(islice((word for name in fields for word in _words(movie, name)), reach))
    variants = [without(movie, [name]) for name in fields] + [rest for _, _, rest in words]
    # All variants are calibrated as the whole movie is: with one fact less, another calibration could apply.
    known = facts_known([movie], classifier.metadata.text.fields).repeat(len(variants))
    logits = yield from classifier.logits_in_steps(variants)
    answered, _ = classifier.metadata.answerings.answer(logits, known)
    probabilities = answered[:, CLASSES.index(prediction.label)]
    effects = (prediction.probabilities[prediction.label] - probabilities).tolist()
    return Explanation(
        prediction,
        [Effect(name, _text(movie, name), effect) for name, effect in zip(fields, effects, strict=False)],
        [Effect(name, word, effect) for (name, word, _), effect in zip(words, effects[len(fields) :], strict=True)],
    )


def strongest(effects: Sequence[Effect], count: int) -> list[Effect]:
    """The ``count`` effects that are farthest from 0, the farthest first."""
    return sorted(effects, key=lambda found: -abs(found.effect))[:count]


def _words(movie: Mapping[str, Any], field: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each word of a field: the field's name, the word, and the movie without the word.

    A number counts as one word, and so does a name.
    """
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
