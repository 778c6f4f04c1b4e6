"""What weighs most in the linear part: the fields, and the facts, words and people with the largest contributions.

Contributions say what moves this model's linear part, in rating points. They say neither what the transformer reads in
the same words, nor what makes a film good.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

import polars as pl

from movie_ratings.model.linear import KNOWN, WORDS, Contributions
from movie_ratings.movies.roles import ROLES

FEWEST: Final = 10  # movies: the mean contribution of what fewer movies have depends on these movies
LISTED: Final = 20  # of each kind
KINDS: Final = ("field", "fact", "word", "person")
Row = tuple[str, str, str, int, float]
PEOPLE: Final = frozenset(ROLES) - {"companies"}
COLUMNS: Final = {"kind": pl.String, "field": pl.String, "text": pl.String, "movies": pl.Int64, "points": pl.Float64}


def importance(test: Iterable[Contributions], train: Iterable[Contributions]) -> pl.DataFrame:
    """What weighs most, by kind, the strongest first; the contributions are those of test and training movies.

    Of a ``field``, ``points`` is the mean over the test movies of the absolute sum of its contributions, and ``movies``
    is the number of test movies in which it has any. Of a ``fact``, a ``word`` (or pair of words) and a ``person``,
    ``points`` is the mean contribution in those ``movies`` of both splits that have it, at least `FEWEST`; `LISTED` of
    each kind are listed. Without test movies, there are no fields.
    """
    fields, texts = _Means(), _Means()
    count = 0
    for movie in test:
        count += 1
        texts.add({(each.field, each.text): each.points for each in movie.each})
        sums: dict[tuple[str, str], float] = defaultdict(float)
        for each in movie.each:
            sums[each.field, ""] += each.points
        fields.add({key: abs(points) for key, points in sums.items()})
    for movie in train:
        texts.add({(each.field, each.text): each.points for each in movie.each})
    found: dict[str, list[Row]] = {kind: [] for kind in KINDS}
    for (field, text), (movies, total) in fields.items():
        found["field"].append(("field", field, text, movies, total / count))
    for (field, text), (movies, total) in texts.items():
        if movies >= FEWEST:
            kind = _kind(field, text)
            found[kind].append((kind, field, text, movies, total / movies))
    # By name too, so that equal weights have one order.
    ordered = {kind: sorted(rows, key=lambda row: (-abs(row[4]), row[:3])) for kind, rows in found.items()}
    listed = [row for kind, rows in ordered.items() for row in (rows if kind == "field" else rows[:LISTED])]
    return pl.DataFrame(listed, schema=COLUMNS, orient="row")


class _Means(dict[tuple[str, str], tuple[int, float]]):
    """By field and text: the number of movies, and the sum of the points."""

    def add(self, movie: Mapping[tuple[str, str], float]) -> None:
        for key, points in movie.items():
            count, total = self.get(key, (0, 0.0))
            self[key] = count + 1, total + points


def _kind(field: str, text: str) -> str:
    if field == WORDS:
        return "word"
    return "person" if field in PEOPLE and text != KNOWN else "fact"
