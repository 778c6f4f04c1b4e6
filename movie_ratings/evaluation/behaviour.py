"""Behavioural tests: how often a small change to a movie changes the predicted class.

Source: Ribeiro et al., "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList", ACL 2020.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from movie_ratings.core.arrays import Ints
from movie_ratings.movies.text import names, normalise
from movie_ratings.prediction.classifier import Classifier

Change = Callable[[Mapping[str, Any], np.random.Generator], dict[str, Any]]


def typo(movie: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Any]:
    """Swap two neighbouring letters in one word of the summary."""
    words = normalise(movie.get("summary") or "").split(" ")
    long = [place for place, word in enumerate(words) if len(word) > 3 and word.isalpha()]
    if long:
        place = int(generator.choice(long))
        letter = int(generator.integers(1, len(words[place]) - 2))
        word = words[place]
        words[place] = word[:letter] + word[letter + 1] + word[letter] + word[letter + 2 :]
    return {**movie, "summary": " ".join(words)}


def swapped_genres(movie: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Any]:
    """Reverse the order of the genres."""
    return {**movie, "genres": names(movie, "genres")[::-1]}


def upper_case_title(movie: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Any]:
    """Write the title in capitals."""
    return {**movie, "title": (movie.get("title") or "").upper()}


def empty_summary(movie: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Any]:
    """Remove the summary. Unlike the other changes, this one removes information and may change the prediction."""
    return {**movie, "summary": ""}


CHANGES: Final[dict[str, Change]] = {
    "a typo in the summary": typo,
    "the genres in the opposite order": swapped_genres,
    "the title in capitals": upper_case_title,
    "no summary": empty_summary,
}


def changed_predictions(
    classifier: Classifier, movies: Sequence[Mapping[str, Any]], predicted: Ints, seed: int
) -> dict[str, float]:
    """For each change, the share of ``movies`` whose predicted class differs from ``predicted`` (movies,) after it."""
    generator = np.random.default_rng(seed)
    return {
        name: float((classifier.answer([change(movie, generator) for movie in movies])[1] != predicted).mean())
        for name, change in CHANGES.items()
    }
