"""Collecting the track records: the rated films of people and companies, from the training movies and from outside."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from movie_ratings.core.arrays import Floats, Ints
from movie_ratings.model.track_records import TrackRecords, Withheld, collected, credits_of, years_of
from movie_ratings.movies.roles import ROLES
from movie_ratings.movies.rows import Movies, evenly_spaced
from movie_ratings.movies.text import normalise

NEEDED: Final = ("year", "collection", *ROLES)  # columns of the training movies


def fit_records(train: pa.Table, ratings: Floats, outside: pa.Table, most: int) -> TrackRecords:
    """The track records of the training movies and of the films of ``outside`` (`movies.record.OUTSIDE`).

    ``train`` has the columns `NEEDED`, ``ratings`` is (training movies,). Ratings are standardised within their source.
    At most ``most`` films are read, evenly spaced: the training movies first, then those from outside. A film without a
    year is left out, because nobody can say what it came before.
    """
    own = np.flatnonzero(pc.is_valid(train["year"]).to_numpy())
    own = own[evenly_spaced(len(own), most)]
    others = evenly_spaced(outside.num_rows, most - len(own)) if most > len(own) and outside.num_rows else own[:0]
    columns = ["year", *ROLES]
    films = pa.concat_tables([train.select(columns).take(own), outside.select(columns).take(others)])
    scores = np.concatenate([standardised(ratings, as_of(train))[own], standardised_by_source(outside)[others]])
    years = films["year"].to_numpy().astype(np.int64)
    owners, keys = (np.concatenate(parts) for parts in zip(*credits_of(Movies(films)), strict=True))
    return collected(keys, years[owners], scores[owners])


def features(train: pa.Table, ratings: Floats, outside: pa.Table, most: int, *others: pa.Table) -> list[Floats]:
    """The track records of the training movies and of other tables' movies, each (movies, `FEATURES`).

    All tables have the columns `NEEDED`; the other parameters are those of `fit_records`.
    """
    records = fit_records(train, ratings, outside, most)
    own = records.features(Movies(train), as_of(train), siblings(train, ratings))
    return [own, *(records.features(Movies(table), years_of(Movies(table))) for table in others)]


def siblings(train: pa.Table, ratings: Floats) -> Withheld:
    """The films that must not count for a training movie: those of its own collection.

    A movie of another split never has a training movie of its collection in its records, since a collection stays on
    one side of a split. The training movies must not either.
    """
    scores = standardised(ratings, as_of(train))
    groups: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(train["collection"].to_pylist()):
        if normalise(name or ""):
            groups[normalise(name)].append(row)
    rows = [row for group in groups.values() if len(group) > 1 for row in group]
    if not rows:
        return {}
    years = train["year"].take(rows).to_pylist()
    credited: dict[int, set[int]] = defaultdict(set)
    for owners, keys in credits_of(Movies(train.select(ROLES).take(rows))):
        for owner, each in zip(owners.tolist(), keys.tolist(), strict=True):
            credited[rows[owner]].add(each)
    year_of = dict(zip(rows, years, strict=True))
    found: dict[int, dict[int, tuple[int, float]]] = {}
    for group in groups.values():
        for row in group if len(group) > 1 else ():
            films: dict[int, tuple[int, float]] = {}
            for other in group:
                if year_of[row] and year_of[other] and year_of[other] < year_of[row]:
                    for each in credited[other]:
                        count, total = films.get(each, (0, 0.0))
                        films[each] = (count + 1, total + float(np.float32(scores[other])))
            found[row] = films
    return found


def as_of(train: pa.Table) -> Ints:
    """The year as of which each training movie is read; a movie without a year has no earlier films."""
    return pc.fill_null(train["year"], 0).to_numpy().astype(np.int64)


def of_rows(withheld: Withheld, rows: Ints) -> Mapping[int, Any]:
    """The same for a table that holds these rows alone."""
    return {new: withheld[old] for new, old in enumerate(rows.tolist()) if old in withheld} if withheld else {}


def standardised(ratings: Floats, years: Ints) -> Floats:
    """The ratings (films,) in standard deviations from their linear trend over the years of release (films,).

    Without the trend, a long career would look like a good one: of old films, people rate mostly those that lasted. A
    film of an unknown year (0) is left out of the trend and gets 0.
    """
    found = np.zeros(len(ratings))
    known = years > 0
    if not known.any():
        return found
    years = years[known] - years[known].mean()
    slope = years @ ratings[known] / max(float(years @ years), 1e-9)
    rest = ratings[known] - ratings[known].mean() - slope * years
    spread = rest.std()
    # What is left of ratings that lie on a line is rounding.
    found[known] = rest / spread if spread > 1e-9 else 0.0
    return found


def standardised_by_source(outside: pa.Table) -> Floats:
    """The ratings (films,) of ``outside``, standardised within their source."""
    ratings, years = outside["rating"].to_numpy(), as_of(outside)
    found = np.zeros(len(ratings))
    sources = np.array(outside["source"].to_pylist())
    for source in np.unique(sources):
        rows = np.flatnonzero(sources == source)
        found[rows] = standardised(ratings[rows], years[rows])
    return found
