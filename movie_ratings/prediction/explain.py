"""Which words and fields pushed a prediction: occlusion, the prediction with and without each of them.

Limits of the method: leaving out a word also breaks the sentence around it; two words with the same meaning hide each
other's weight; and an effect shows what moved this model, not what makes a film good.

The contributions of the linear part are exact: their sum is its rating. They say nothing of the transformer.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from movie_ratings.core.arrays import Floats
from movie_ratings.model.decision import facts_known
from movie_ratings.model.linear import Contributions
from movie_ratings.model.rating import implied_ratings
from movie_ratings.movies.labels import CLASSES
from movie_ratings.movies.release import with_year
from movie_ratings.movies.text import NAMES, NUMBERS, TEXTS, has, names, normalise, number, without
from movie_ratings.movies.validation import ValidMovie
from movie_ratings.prediction.classifier import BALANCED, Classifier, Decision, Prediction, Variants
from movie_ratings.prediction.steps import PART, Steps, finish

# A text is cut after this many characters for each token that the model reads. English has four or five characters a
# token, so a text that is cut here was cut by the model before.
CHARACTERS: Final = 16
LIMITS: Final = "without it the sentence may break, and words that say the same hide each other's weight"
# The texts that the transformer reads for an explanation of phrases, that of the movie included; more only if a model
# reads more fields. The time of an explanation is the time for these: with more, eight clients at the same time would
# wait for a second on two cores.
READ: Final = 14
HALVED: Final = 2  # phrases that are halved at a time: their four halves fill one batch of the transformer
CONTRIBUTIONS: Final = 20  # of the linear part, that programs receive
SHOWN: Final = 60  # characters of the text in a reason
LEAST: Final = 0.005  # rating points of a reason: less is shown as 0.00

# How finely texts and lists are divided: into single words and names, or into the phrases that matter most.
Detail = Literal["words", "phrases"]


class Effect(NamedTuple):
    """What changes when ``text`` is left out of ``field``.

    ``effect`` is by how much the label's probability falls: above 0, the text spoke for the label. ``rating_effect`` is
    by how many points the predicted rating falls: above 0, the text raised the rating.
    """

    field: str
    text: str
    effect: float
    rating_effect: float


class Explanation(NamedTuple):
    """A prediction, with the effect of each known field and of each word or phrase, in their order.

    A genre counts as a word, and so does any other name. ``contributions`` is None for a model without a linear part.
    """

    prediction: Prediction
    fields: list[Effect]
    words: list[Effect]
    contributions: Contributions | None


@dataclass(frozen=True)
class _Phrase:
    """The words or names from ``first`` to before ``end`` of a field."""

    field: str
    words: tuple[str, ...]  # all of the field
    first: int
    end: int

    @property
    def divisible(self) -> bool:
        return self.end - self.first > 1

    @property
    def text(self) -> str:
        return (" " if self.field in TEXTS else ", ").join(self.words[self.first : self.end])

    def left_out(self, movie: Mapping[str, Any]) -> dict[str, Any]:
        """The movie without the phrase."""
        rest = [*self.words[: self.first], *self.words[self.end :]]
        if not rest:
            return without(movie, [self.field])
        return {**movie, self.field: " ".join(rest) if self.field in TEXTS else rest}

    def halves(self) -> list["_Phrase"]:
        middle = (self.first + self.end) // 2
        return [self._part(self.first, middle), self._part(middle, self.end)]

    def single(self) -> Iterator["_Phrase"]:
        """Each word as a phrase."""
        return (self._part(place, place + 1) for place in range(self.first, self.end))

    def _part(self, first: int, end: int) -> "_Phrase":
        return _Phrase(self.field, self.words, first, end)


class _Occlusion:
    """The effects on one label of leaving phrases out of a movie. The transformer reads each text once."""

    def __init__(self, classifier: Classifier, movie: Mapping[str, Any], label: str, variants: Variants):
        self._classifier, self._movie, self._label = classifier, movie, CLASSES.index(label)
        self._variants = variants

    @property
    def read(self) -> int:
        """The number of texts that the transformer has read."""
        return len(self._variants.texts)

    def effects(self, phrases: Sequence[_Phrase]) -> Steps[dict[_Phrase, Effect]]:
        """The effect of each phrase, with pauses."""
        found: dict[_Phrase, Effect] = {}
        for first in range(0, len(phrases), PART):
            part = phrases[first : first + PART]
            # The first one is the movie as it is read, to which all others are compared.
            movies = [self._movie, *(phrase.left_out(self._movie) for phrase in part)]
            logits = yield from self._classifier.logits_in_steps(movies, self._variants)
            for phrase, falls in zip(part, self._falls(logits), strict=True):
                found[phrase] = Effect(phrase.field, phrase.text, *falls)
            yield
        return found

    def _falls(self, logits: Floats) -> list[tuple[float, float]]:
        """By how much the label's probability and the rating of each movie lie below those of the first one."""
        metadata = self._classifier.metadata
        # All are calibrated as the whole movie is: with one fact less, another calibration could apply.
        answered, _ = metadata.answerings.answer(logits, np.full(logits.shape[1], self._variants.known))
        probability, ratings = answered[:, self._label], implied_ratings(answered, metadata.thresholds)
        falls = zip((probability[0] - probability[1:]).tolist(), (ratings[0] - ratings[1:]).tolist(), strict=True)
        return list(falls)


def explain(
    classifier: Classifier, movie: ValidMovie, decision: Decision = BALANCED, detail: Detail = "words"
) -> Explanation:
    """Predict ``movie`` and explain its rating, and its label by ``decision``.

    With ``detail`` "words", each field and each word is left out in turn: one more prediction for each of them. With
    "phrases", each field is left out, and then the halves of what had the largest effect on the rating, again and
    again, until the transformer has read `READ` texts, whatever the length of the movie. Names that the linear part
    alone reads cost none of these texts, and are left out one by one.

    Words beyond the number of tokens that the model reads are not left out. A text that is far longer than the model
    reads is cut before words are left out, so that an explanation needs memory for what is read, not for a copy of the
    whole text for each word; the effects are then those within the cut movie.

    Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, for images.
    """
    return finish(explain_in_steps(classifier, movie, decision, detail))


def explain_in_steps(
    classifier: Classifier, movie: ValidMovie, decision: Decision = BALANCED, detail: Detail = "words"
) -> Steps[Explanation]:
    """As `explain`, with pauses."""
    metadata, reach = classifier.metadata, classifier.metadata.text.max_length
    # A movie with a day of release has a year; the request may have given only the day.
    whole = with_year(movie)
    read = _cut(whole, reach * CHARACTERS)
    variants = Variants(bool(facts_known([whole], metadata.text.fields)[0]))
    logits = yield from classifier.logits_in_steps([whole], variants)
    prediction = classifier.predictions([whole], logits)[0].decided(decision)
    yield
    occlusion = _Occlusion(classifier, read, prediction.label, variants)
    fields = [_whole(read, name) for name in metadata.fields if has(read, name)]
    by_field = yield from occlusion.effects(fields)
    if detail == "phrases":
        words = yield from _divided(occlusion, by_field, metadata.text.fields)
    else:
        # More words than tokens never reach the model, and each costs a prediction.
        single = islice((word for field in fields for word in field.single()), reach)
        words = yield from occlusion.effects(list(single))
    return Explanation(prediction, list(by_field.values()), list(words.values()), classifier.contributions(whole))


def as_dict(explanation: Explanation) -> dict[str, Any]:
    """The parts of an explanation beside the prediction, as JSON for programs.

    Of the contributions, the `CONTRIBUTIONS` strongest ones are there: with ``intercept`` and ``rest`` they add up to
    ``rating``, the linear part's.
    """
    found = explanation.contributions
    contributions = None
    if found is not None:
        largest, rest = found.strongest(CONTRIBUTIONS)
        contributions = {
            "rating": found.rating,
            "intercept": found.intercept,
            "strongest": [each._asdict() for each in largest],
            "rest": rest,
        }
    return {
        "fields": [effect._asdict() for effect in explanation.fields],
        "words": [effect._asdict() for effect in explanation.words],
        "contributions": contributions,
    }


def strongest(effects: Sequence[Effect], count: int) -> list[Effect]:
    """The ``count`` effects that are farthest from 0, the farthest first."""
    return sorted(effects, key=lambda found: -abs(found.effect))[:count]


def reasons(explanation: Explanation, count: int) -> list[str]:
    """What moved the predicted rating most, with its effect in rating points: "directors: Ada Example +0.21".

    There are fewer than ``count`` if fewer words or phrases move the rating by at least 0.005 points.
    """
    moving = [found for found in explanation.words if abs(found.rating_effect) >= LEAST]
    ordered = sorted(moving, key=lambda found: -abs(found.rating_effect))[:count]
    return [f"{found.field}: {_shortened(found.text)} {found.rating_effect:+.2f}" for found in ordered]


def _divided(
    occlusion: _Occlusion, by_field: Mapping[_Phrase, Effect], encoded: Sequence[str]
) -> Steps[dict[_Phrase, Effect]]:
    """The effects of phrases, in the order of the movie; ``encoded`` are the fields that the transformer reads.

    Of these fields, the phrases with the largest effects on the rating are halved, until `READ` texts are read.
    """
    found = {phrase: effect for phrase, effect in by_field.items() if phrase.field in encoded}
    # Also limits how often words are halved that no new text is read for, because they are beyond its last token.
    for _ in range(READ // (2 * HALVED)):
        room = min(HALVED, (READ - occlusion.read) // 2)
        divisible = [phrase for phrase in found if phrase.divisible]
        largest = sorted(divisible, key=lambda phrase: -abs(found[phrase].rating_effect))[: max(room, 0)]
        if not largest:
            break
        halves = yield from occlusion.effects([half for phrase in largest for half in phrase.halves()])
        found = {phrase: effect for phrase, effect in found.items() if phrase not in largest} | halves
    others = [word for phrase in by_field if phrase.field not in encoded for word in phrase.single()]
    found |= yield from occlusion.effects(others)
    order = {phrase.field: place for place, phrase in enumerate(by_field)}
    return {phrase: found[phrase] for phrase in sorted(found, key=lambda phrase: (order[phrase.field], phrase.first))}


def _cut(movie: Mapping[str, Any], characters: int) -> Mapping[str, Any]:
    """The movie with at most ``characters`` of each text and each name."""
    texts = {field: normalise(movie.get(field) or "")[:characters] for field in TEXTS}
    lists = {field: [name[:characters] for name in names(movie, field)] for field in NAMES}
    return {**movie, **texts, **lists}


def _whole(movie: Mapping[str, Any], field: str) -> _Phrase:
    """All of a field as one phrase. A number counts as one word, and so does a name."""
    if field in NUMBERS:
        words = [str(number(movie, field))]
    else:
        words = normalise(movie[field]).split(" ") if field in TEXTS else names(movie, field)
    return _Phrase(field, tuple(words), 0, len(words))


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
