"""Which words and fields pushed a prediction: occlusion, the prediction with and without each of them.

Limits of the method: leaving out a word also breaks the sentence around it; two words with the same meaning hide each
other's weight; and an effect shows what moved this model, not what makes a film good.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from movie_ratings.model.decision import facts_known
from movie_ratings.movies.labels import CLASSES
from movie_ratings.movies.release import with_year
from movie_ratings.movies.text import NAMES, NUMBERS, TEXTS, has, names, normalise, number, without
from movie_ratings.movies.validation import ValidMovie
from movie_ratings.prediction.steps import PART, Steps, finish

if TYPE_CHECKING:
    from movie_ratings.prediction.classifier import Classifier, Prediction

# A text is cut after this many characters for each token that the model reads. English has four or five characters a
# token, so a text that is cut here was cut by the model before.
CHARACTERS: Final = 16
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

    Words beyond the number of tokens that the model reads are left out. A text that is far longer than the model reads
    is cut before words are left out, so that an explanation needs memory for what is read, not for a copy of the whole
    text for each word; the effects are then those within the cut movie.

    Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, for images.
    """
    return finish(explain_in_steps(classifier, movie))


def explain_in_steps(classifier: "Classifier", movie: ValidMovie) -> Steps[Explanation]:
    """As `explain`, with pauses."""
    (prediction,) = yield from classifier.predict_in_steps([movie])
    yield
    reach = classifier.metadata.text.max_length
    # A movie with a day of release has a year; the request may have given only the day.
    read = _cut(with_year(movie), reach * CHARACTERS)
    fields = [name for name in classifier.metadata.fields if has(read, name)]
    # More words than tokens never reach the model, and each costs a prediction.
    words = list(islice((word for name in fields for word in _words(read, name)), reach))
    # The first of them is the movie as it is read, to which all others are compared.
    variants = [read, *(without(read, [name]) for name in fields), *(rest for _, _, rest in words)]
    # All variants are calibrated as the whole movie is: with one fact less, another calibration could apply.
    known = facts_known([read], classifier.metadata.text.fields).repeat(len(variants))
    parts = []
    for first in range(0, len(variants), PART):
        parts.append((yield from classifier.logits_in_steps(variants[first : first + PART])))
        yield
    answered, _ = classifier.metadata.answerings.answer(np.concatenate(parts, axis=1), known)
    whole, *left_out = answered[:, CLASSES.index(prediction.label)].tolist()
    effects = [whole - probability for probability in left_out]
    return Explanation(
        prediction,
        [Effect(name, _text(read, name), effect) for name, effect in zip(fields, effects, strict=False)],
        [Effect(name, word, effect) for (name, word, _), effect in zip(words, effects[len(fields) :], strict=True)],
    )


def strongest(effects: Sequence[Effect], count: int) -> list[Effect]:
    """The ``count`` effects that are farthest from 0, the farthest first."""
    return sorted(effects, key=lambda found: -abs(found.effect))[:count]


def _cut(movie: Mapping[str, Any], characters: int) -> Mapping[str, Any]:
    """The movie with at most ``characters`` of each text and each name."""
    texts = {field: normalise(movie.get(field) or "")[:characters] for field in TEXTS}
    lists = {field: [name[:characters] for name in names(movie, field)] for field in NAMES}
    return {**movie, **texts, **lists}


def _words(movie: Mapping[str, Any], field: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each word of a field: the field's name, the word, and the movie without the word.

    A number counts as one word, and so does a name.
    """
    if field in NUMBERS:
        yield field, str(number(movie, field)), without(movie, [field])
        return
    words = normalise(movie[field]).split(" ") if field in TEXTS else names(movie, field)
    for place, word in enumerate(words):
        rest = [*words[:place], *words[place + 1 :]]
        yield field, word, {**movie, field: " ".join(rest) if field in TEXTS else rest}


def _text(movie: Mapping[str, Any], field: str) -> str:
    if field in NUMBERS:
        return str(number(movie, field))
    return str(movie[field]) if field in TEXTS else ", ".join(names(movie, field))
