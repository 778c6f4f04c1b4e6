"""How useful comparable films are: what they share with a movie, and how near their ratings are to its own."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from movie_ratings.core.arrays import Ints
from movie_ratings.model.comparables import Comparables
from movie_ratings.movies.text import names
from movie_ratings.prediction.classifier import SIMILAR

PEOPLE: Final = ("directors", "writers", "cast")

Movies = Sequence[Mapping[str, Any]]


def usefulness(train: Movies, movies: Movies, seed: int) -> dict[str, dict[str, float | None]]:
    """Figures of the comparable films of ``movies`` among ``train``, beside those of as many training movies at random.

    ``rating_distance`` is the mean distance between a movie's rating and the mean rating of its comparable films, in
    rating points. ``shared_genre`` and ``shared_person`` are the shares of the comparable films with a genre, or a
    director, writer or actor, of the movie; ``shared_keyword`` is the same for keywords, which the search does not
    read, over the movies that have keywords (None if none has).
    """
    films = Comparables.of(train)
    nearest = [[place for place, _ in films.nearest(movie, SIMILAR)] for movie in movies]
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, len(train), (len(movies), min(SIMILAR, len(train))))
    return {"comparable": _figures(train, movies, nearest), "random": _figures(train, movies, drawn.tolist())}


def _figures(train: Movies, movies: Movies, chosen: Sequence[Sequence[int]]) -> dict[str, float | None]:
    pairs = [(movie, train[place]) for movie, places in zip(movies, chosen, strict=True) for place in places]
    distances = [
        abs(float(movie["rating"]) - float(np.mean([train[place]["rating"] for place in places])))
        for movie, places in zip(movies, chosen, strict=True)
        if places
    ]
    with_keywords = [(movie, film) for movie, film in pairs if names(movie, "keywords")]
    return {
        "rating_distance": float(np.mean(distances)),
        "shared_genre": _share(pairs, ("genres",)),
        "shared_person": _share(pairs, PEOPLE),
        "shared_keyword": _share(with_keywords, ("keywords",)) if with_keywords else None,
    }


def _share(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], fields: Sequence[str]) -> float:
    """The share of the pairs whose movies have a name in common in one of ``fields``."""
    shared: Ints = np.array(
        [any(set(names(one, field)) & set(names(other, field)) for field in fields) for one, other in pairs]
    )
    return float(shared.mean())
