"""Comparable films: the rated movies of the training split that resemble a movie most.

Similarity is a weighted sum over groups of terms (`GROUPS`), such as the words of title and summary, and over the
distance of the years of release. For each group it is the cosine of TF-IDF vectors. Words and facts find films as near
in rating as the transformer's vectors do, and films that share more themes and people (docs/experiments.md). The
ratings of comparable films never enter a prediction.
"""

import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from movie_ratings.core.arrays import Floats, Ints
from movie_ratings.core.errors import UserError
from movie_ratings.model.linear import WORD
from movie_ratings.movies.text import compose, names, normalise, number

FILE: Final = "comparables.parquet"


class Group(NamedTuple):
    """Terms that are compared with each other: the names of ``fields``, or the words if there are none."""

    weight: float
    fields: tuple[str, ...] = ()


# The weights were chosen on the validation split, by shared keywords, shared people and distance of ratings.
GROUPS: Final = {
    "words": Group(2.0),
    "genres": Group(0.5, ("genres",)),
    "people": Group(1.0, ("directors", "writers", "cast")),
    "origin": Group(0.3, ("companies", "countries")),
}
YEAR_WEIGHT: Final = 0.3
YEARS: Final = 10.0  # the similarity of years falls to 1/e within this distance
TOTAL: Final = YEAR_WEIGHT + sum(group.weight for group in GROUPS.values())


class Film(NamedTuple):
    """A rated film; ``rating`` is 0 to 10."""

    title: str
    year: int | None
    rating: float


@dataclass(frozen=True)
class Comparables:
    """Rated films with their terms.

    ``terms`` holds a number for each term of each film, film after film; ``values`` holds the term's share of the
    film's vector, whose length is 1 in each group, and ``lengths`` (films,) the number of terms of each film.
    """

    films: Sequence[Film]
    lengths: Ints
    terms: npt.NDArray[np.uint32]
    values: npt.NDArray[np.float32]

    @classmethod
    def of(cls, movies: Sequence[Mapping[str, Any]]) -> "Comparables":
        """Movies, each with its ``rating``, as films to compare with."""
        counted = [_counts(movie) for movie in movies]
        frequencies = Counter(term for groups in counted for group in groups for term in group)
        idf = {term: _idf(frequency, len(movies)) for term, frequency in frequencies.items()}
        rows = [[pair for group in groups for pair in _unit(group, idf)] for groups in counted]
        pairs = [pair for row in rows for pair in row]
        return cls(
            [Film(normalise(m.get("title") or ""), number(m, "year"), float(m["rating"])) for m in movies],
            np.array([len(row) for row in rows], dtype=np.int64),
            np.array([term for term, _ in pairs], dtype=np.uint32),
            np.array([value for _, value in pairs], dtype=np.float32),
        )

    def nearest(self, movie: Mapping[str, Any], count: int) -> list[tuple[int, float]]:
        """The places of the ``count`` films that resemble ``movie`` most, each with its similarity, 0 to 1.

        The movie itself, a film of its title and year, is left out.
        """
        found = self._similarities(movie)
        title, year = normalise(movie.get("title") or "").casefold(), number(movie, "year")
        best: list[tuple[int, float]] = []
        for place in np.argsort(-found, kind="stable").tolist():
            if len(best) == count:
                break
            film = self.films[place]
            if film.title.casefold() != title or (year is not None and film.year != year):
                best.append((place, float(found[place])))
        return best

    def _similarities(self, movie: Mapping[str, Any]) -> Floats:
        """The similarity of each film to ``movie``, shape (films,)."""
        terms, places, owners = self._by_term
        found = np.zeros(len(self.films))
        for counts, group in zip(_counts(movie), GROUPS.values(), strict=True):
            # A term that no film has would only lower all similarities alike.
            spans = {term: (np.searchsorted(terms, term), np.searchsorted(terms, term, "right")) for term in counts}
            known = {term: count for term, count in counts.items() if spans[term][0] < spans[term][1]}
            idf = {term: _idf(int(spans[term][1] - spans[term][0]), len(self.films)) for term in known}
            for term, value in _unit(known, idf):
                some = places[spans[term][0] : spans[term][1]]
                np.add.at(found, owners[some], group.weight * value * self.values[some])
        if (year := number(movie, "year")) is not None:
            distances = np.abs(self._years - year)
            found += YEAR_WEIGHT * np.where(self._years > 0, np.exp(-distances / YEARS), 0.0)
        return found / TOTAL

    @cached_property
    def _by_term(self) -> tuple[npt.NDArray[np.uint32], Ints, Ints]:
        """All terms in rising order, the place of each, and the film of each place."""
        places = np.argsort(self.terms, kind="stable")
        return self.terms[places], places, np.repeat(np.arange(len(self.films)), self.lengths)

    @cached_property
    def _years(self) -> Ints:
        """The year of each film, 0 where unknown, shape (films,)."""
        return np.array([film.year or 0 for film in self.films], dtype=np.int64)


def write(folder: Path, comparables: Comparables) -> None:
    """Put the films into a served folder."""
    import pyarrow as pa  # takes a tenth of a second, which one prediction does not need

    from movie_ratings.core.parquet import write_table

    ends = np.concatenate([[0], np.cumsum(comparables.lengths)]).astype(np.int32)
    columns = {
        "title": pa.array([film.title for film in comparables.films], pa.string()),
        "year": pa.array([film.year for film in comparables.films], pa.int32()),
        "rating": pa.array([film.rating for film in comparables.films], pa.float32()),
        "terms": pa.ListArray.from_arrays(ends, pa.array(comparables.terms)),
        "values": pa.ListArray.from_arrays(ends, pa.array(comparables.values)),
    }
    write_table(folder / FILE, pa.table(columns))


def read(folder: str | Path) -> Comparables:
    """Read the films of a served folder.

    Raises:
        UserError: the file is missing, is not a table of such films, or a value in it is not finite.
    """
    import pyarrow as pa

    from movie_ratings.core.parquet import read_table

    path = Path(folder, FILE)
    numbers = {"terms": pa.list_(pa.uint32()), "values": pa.list_(pa.float32())}
    schema = pa.schema({"title": pa.string(), "year": pa.int32(), "rating": pa.float32()} | numbers)
    table = read_table(path, schema).combine_chunks()
    lengths = [table[name].combine_chunks().value_lengths().to_numpy(zero_copy_only=False) for name in numbers]
    terms, values = (table[name].combine_chunks().flatten().to_numpy() for name in numbers)
    ratings = table["rating"].to_numpy()
    whole = all(table[name].null_count == 0 for name in ("title", "rating", *numbers))
    if not whole or not np.array_equal(*lengths) or not np.isfinite(values).all() or not np.isfinite(ratings).all():
        raise UserError(f"{path}: not a table of comparable films")
    films = zip(table["title"].to_pylist(), table["year"].to_pylist(), ratings.tolist(), strict=True)
    return Comparables([Film(*film) for film in films], lengths[0].astype(np.int64), terms, values)


def _counts(movie: Mapping[str, Any]) -> list[dict[int, float]]:
    """For each of `GROUPS`, the terms of a movie, each with the logarithm of its frequency plus 1."""
    found = []
    for name, group in GROUPS.items():
        texts = (
            [f"{field}={each}" for field in group.fields for each in names(movie, field)]
            if group.fields
            else WORD.findall(compose(movie, ("title", "summary")))
        )
        counts = Counter(zlib.crc32(f"{name} {text.casefold()}".encode()) for text in texts)
        found.append({term: 1 + math.log(count) for term, count in counts.items()})
    return found


def _idf(frequency: int, films: int) -> float:
    return 1 + math.log((1 + films) / (1 + frequency))


def _unit(counts: Mapping[int, float], idf: Mapping[int, float]) -> list[tuple[int, float]]:
    """The terms with their TF-IDF values, divided by the length of the vector."""
    values = {term: count * idf[term] for term, count in counts.items()}
    length = math.sqrt(sum(value * value for value in values.values())) or 1.0
    return [(term, value / length) for term, value in sorted(values.items())]
