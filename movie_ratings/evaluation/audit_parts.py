"""The table that the linear part is fitted on, in parts: each fact is encoded once, and again when its contents change.

The encodings and their scales are those of `training.ridge`. A fact is a field, the whole block of names, or
the track records.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

import numpy as np
import pyarrow as pa
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.preprocessing import normalize

from movie_ratings.core.arrays import Bools, Floats, Ints
from movie_ratings.model.linear import GENRE_STEPS, credited, indicators, words
from movie_ratings.model.track_records import Credits, collected, credits_of
from movie_ratings.movies.roles import ROLES
from movie_ratings.movies.rows import Movies, evenly_spaced
from movie_ratings.movies.text import FIELDS, NAMES, NO_GENRE, NUMBERS, has, names, normalise
from movie_ratings.training.records import NEEDED, as_of, siblings, standardised, standardised_by_source
from movie_ratings.training.ridge import NAME_SCALE, RECORD_SCALE, WORD_SCALE, Reads

RECORDS: Final = "track records"
BLOCK: Final = "all names"  # the fields of the block together
MOST_COUNTED: Final = 5  # numbers of names from here on share an indicator

Table = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Parts:
    """What a linear model reads of movies; all matrices are (movies, columns) and have their scale, but ``names``.

    ``indicators`` and ``names`` hold the columns of each field; all names become one block whose rows add up to 1.
    ``records`` holds the track records as each fold knows them; ``more`` are columns that no model of ours reads.
    """

    words: sparse.csr_matrix
    indicators: Mapping[str, sparse.csr_matrix]
    names: Mapping[str, sparse.csr_matrix]
    records: Sequence[Floats] = ()
    more: Sequence[sparse.csr_matrix] = ()

    def table(self) -> sparse.csr_matrix:
        """All columns but those of the track records."""
        names = [found for found in self.names.values() if found.shape[1]]
        block = [NAME_SCALE * normalize(sparse.hstack(names).tocsr(), norm="l1")] if names else []
        return sparse.hstack([self.words, *self.indicators.values(), *block, *self.more]).tocsr()

    def of_fold(self, fold: int) -> list[sparse.csr_matrix]:
        """The columns of the track records as this fold knows them; none if nobody has earlier films."""
        if not self.records or not self.records[fold].any():
            return []
        return [sparse.csr_matrix(RECORD_SCALE * self.records[fold])]


class Encoder:
    """Encodes movies in `Parts`, and encodes a field again when its contents are hidden or shuffled.

    A word, indicator or name of fewer than ``least`` of the movies has no column.
    """

    def __init__(self, movies: Table, reads: Reads, least: int):
        self.movies, self.reads, self._least = movies, reads, least
        self._vocabularies = {
            field: self._frequent(credited(movie, (field,)) for movie in movies) for field in reads.names
        }

    def whole(self) -> Parts:
        """The parts of the movies as they are, without track records."""
        fields = self.reads.fields
        return Parts(
            self._words(),
            {
                field: self._indicators(self.movies, field, fields)
                for field in fields
                if field not in ("title", "summary")
            },
            {field: self._names(self.movies, field) for field in self.reads.names},
        )

    def without(self, whole: Parts, field: str) -> Parts:
        """The parts of a model that does not read the field."""
        if field in whole.names:
            return replace(whole, names=_but(whole.names, field))
        fields = [each for each in self.reads.fields if each != field]
        again = {each: self._indicators(self.movies, each, fields) for each in self._built_on(field)}
        return replace(whole, indicators=_but({**whole.indicators, **again}, field))

    def with_contents(self, whole: Parts, field: str, contents: Sequence[Sequence[Any]]) -> Parts:
        """The parts of movies that have other contents in the field, as `contents_of` returns them.

        A name of the block has a column if enough of the movies as they are have it: `anonymous` names have none.
        """
        movies = [
            {**movie, field: list(found) if field in NAMES else next(iter(found), None)}
            for movie, found in zip(self.movies, contents, strict=True)
        ]
        if field in whole.names:
            return replace(whole, names={**whole.names, field: self._names(movies, field)})
        again = {each: self._indicators(movies, each, self.reads.fields) for each in (field, *self._built_on(field))}
        return replace(whole, indicators={**whole.indicators, **again})

    def _built_on(self, field: str) -> list[str]:
        """The numbers whose indicators include pairs with a genre, if the field is genres."""
        return [each for each in GENRE_STEPS if field == "genres" and each in self.reads.fields]

    def _words(self) -> sparse.csr_matrix:
        fields = [field for field in self.reads.fields if field in ("title", "summary")]
        # Read twice, because the words and pairs of words of all movies at once would fill the memory.
        known = self._frequent(words(movie, fields) for movie in self.movies)
        if not known:
            return sparse.csr_matrix((len(self.movies), 0))
        tfidf = TfidfVectorizer(analyzer=lambda movie: words(movie, fields), sublinear_tf=True, vocabulary=known)
        return WORD_SCALE * tfidf.fit_transform(self.movies)

    def _indicators(self, movies: Table, field: str, fields: Sequence[str]) -> sparse.csr_matrix:
        if field in GENRE_STEPS and "genres" in fields:
            # Of a pair such as "Drama year>1990", both are needed. It belongs to the number.
            found = [
                set(indicators(movie, ("genres", field))).difference(indicators(movie, ("genres",))) for movie in movies
            ]
        else:
            found = [set(indicators(movie, (field,))) for movie in movies]
        return _columns(found, self._frequent(found))

    def _names(self, movies: Table, field: str) -> sparse.csr_matrix:
        return _columns([list(credited(movie, (field,))) for movie in movies], self._vocabularies[field])

    def _frequent(self, found: Iterable[Iterable[str]]) -> list[str]:
        """The terms of at least so many movies, but for those of all movies: the intercept stands for them."""
        counts: dict[str, int] = {}
        rows = 0
        for terms in found:
            rows += 1
            for term in set(terms):
                counts[term] = counts.get(term, 0) + 1
        return sorted(term for term, count in counts.items() if self._least <= count < rows)


def contents_of(movies: Table, field: str) -> list[list[Any]]:
    """What each movie has in a field: the names that a model reads, or one number or text, or nothing."""
    if field in NAMES:
        return [names(movie, field) for movie in movies]
    return [[movie[field]] if has(movie, field) else [] for movie in movies]


def anonymous(field: str, contents: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """As many names without a meaning as each movie has; for a number, the least one, which is above no step."""
    return [[1 if field in NUMBERS else f"name {place}" for place, _ in enumerate(found)] for found in contents]


def shuffled(contents: Sequence[Sequence[Any]], generator: np.random.Generator) -> list[list[Any]]:
    """The contents of all movies in a random order, dealt out again: each movie has as many as before."""
    pool = [each for found in contents for each in found]
    dealt = iter([pool[place] for place in generator.permutation(len(pool))])
    return [list(islice(dealt, len(found))) for found in contents]


def number_in_record(movies: Table, field: str) -> sparse.csr_matrix:
    """How many names the record of each movie has in a field of `NAMES`, however many of them a model reads.

    The columns are log(1 + number) and an indicator for each number, the last one of `MOST_COUNTED` names and more.
    """
    numbers = np.array([sum(map(_is_name, movie.get(field) or ())) for movie in movies], dtype=np.int64)
    each = np.minimum(numbers, MOST_COUNTED)[:, None] == np.arange(MOST_COUNTED + 1)
    return sparse.csr_matrix(np.column_stack([np.log1p(numbers), each.astype(np.float64)]))


class RecordEncoder:
    """The track records of the movies as each fold knows them; people are looked up once.

    ``table`` has the columns of `training.records.NEEDED`, ``ratings`` is (movies,). At most ``most``
    films of ``outside`` and of the movies count, the movies first. A movie without a year has no earlier films.
    """

    def __init__(self, table: pa.Table, ratings: Floats, outside: pa.Table, most: int):
        self._table, self._ratings, self._years = table.select(NEEDED), ratings, as_of(table)
        self.people: Credits = credits_of(Movies(table.select(ROLES)))
        chosen = evenly_spaced(outside.num_rows, max(most - len(ratings), 0)) if outside.num_rows else np.arange(0)
        self._outside_years = outside["year"].to_numpy()[chosen].astype(np.int64)
        self._outside_scores = standardised_by_source(outside)[chosen]
        self._outside = _pooled(credits_of(Movies(outside.select(ROLES).take(chosen))))

    def features(self, train: Bools, asked: Sequence[Credits]) -> list[Floats]:
        """`track_records.FEATURES` of the movies, from films of ``train`` (movies,) and outside: (movies, features).

        An array for each of ``asked``, which says who the people of the movies are; who made the films does not change.
        The films of a training movie's own collection do not count for it.
        """
        rows = np.flatnonzero(train)
        scores = np.zeros(len(train))
        scores[rows] = standardised(self._ratings[rows], self._years[rows])
        owners, keys = _pooled(self.people)
        own = train[owners] & (self._years[owners] > 0)
        owners, keys = owners[own], keys[own]
        others, other_keys = self._outside
        records = collected(
            np.concatenate([keys, other_keys]),
            np.concatenate([self._years[owners], self._outside_years[others]]),
            np.concatenate([scores[owners], self._outside_scores[others]]),
        )
        found = siblings(self._table.take(rows), self._ratings[rows])
        withheld = {int(rows[row]): films for row, films in found.items()}
        return [records.of_credits(people, self._years, withheld) for people in asked]


def anonymous_people(people: Credits) -> Credits:
    """As many people of each role, of whom nobody has made a film."""
    return [(owners, np.zeros_like(keys)) for owners, keys in people]


def shuffled_people(people: Credits, generator: np.random.Generator) -> Credits:
    """The people of each role in a random order; each movie has as many as before."""
    return [(owners, generator.permutation(keys)) for owners, keys in people]


def seed_of(fact: str) -> int:
    """A number for the shuffle of a fact, which does not depend on the other facts."""
    return FIELDS.index(fact) if fact in FIELDS else len(FIELDS)


def _pooled(people: Credits) -> tuple[Ints, Any]:
    owners, keys = (np.concatenate(parts) for parts in zip(*people, strict=True))
    return owners, keys


def _columns(found: Iterable[Iterable[str]], terms: Sequence[str]) -> sparse.csr_matrix:
    """The columns of ``terms``, 1 where a movie has the term; terms that no movie has are left out."""
    found = list(found)
    if not terms:
        return sparse.csr_matrix((len(found), 0))
    table = CountVectorizer(analyzer=list, binary=True, vocabulary=terms, dtype=np.float64).transform(found)
    return table[:, np.flatnonzero(table.getnnz(axis=0))]


def _is_name(name: str | None) -> bool:
    return normalise(name or "") not in ("", NO_GENRE)


def _but(parts: Mapping[str, sparse.csr_matrix], field: str) -> dict[str, sparse.csr_matrix]:
    return {name: part for name, part in parts.items() if name != field}
