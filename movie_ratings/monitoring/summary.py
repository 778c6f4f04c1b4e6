"""What a set of movies is like, counted as its movies pass: how a drift is found without keeping the movies."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from movie_ratings.log.records import content
from movie_ratings.movies.text import NAMES, NUMBERS


class Summary:
    """Counts of the movies that `add` was given, for the fields ``fields``.

    ``rows`` movies were added, and the content of ``contents`` of them. ``known`` has the number of movies with each
    field, ``numbers`` its values (the number of words of a text), and ``names`` how often each name occurs.
    """

    def __init__(self, fields: Sequence[str]):
        self.fields = tuple(fields)
        self.rows = self.contents = 0
        self.known: Counter[str] = Counter()
        self.numbers: dict[str, list[int]] = {field: [] for field in fields if field not in NAMES}
        self.names: dict[str, Counter[str]] = {field: Counter() for field in fields if field in NAMES}

    @classmethod
    def of(cls, movies: Iterable[Mapping[str, Any]], fields: Sequence[str]) -> Self:
        """The summary of ``movies``, mappings with the fields of `movie_ratings.movies.text.FIELDS`."""
        found = cls(fields)
        for movie in movies:
            found.add(content(movie))
        return found

    def add(self, movie: Mapping[str, Any]) -> None:
        """Count a movie, as `movie_ratings.log.records.content` returns it."""
        self.add_known(movie)
        self.contents += 1
        for field, values in self.numbers.items():
            if field in movie:
                values.append(movie[field] if field in NUMBERS else len(movie[field].split()))
        for field, names in self.names.items():
            names.update(movie.get(field, ()))

    def add_known(self, fields: Iterable[str]) -> None:
        """Count a movie of which nothing but the names of its known fields is known."""
        self.rows += 1
        self.known.update(field for field in fields if field in self.fields)
