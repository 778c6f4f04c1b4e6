"""Track records: how the earlier films of a movie's people and companies were rated.

A film counts for a movie only if it was released in an earlier year, so that a record holds nothing that was unknown
before the movie's release. `training.records` collects the films; this module stores them and looks them up, in numpy.
"""

import hashlib
import unicodedata
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from movie_ratings.core.arrays import Floats, Ints
from movie_ratings.core.errors import UserError
from movie_ratings.movies.roles import ROLES
from movie_ratings.movies.text import names, number

FILE: Final = "track_records.npy"
# The feature of each role, since a good actor need not be a good director: the mean rating of the earlier films. The
# number of earlier films is none: it grows from year to year, and did not predict (docs/experiments.md).
FEATURES: Final = tuple(f"ratings of {role}" for role in ROLES)
# A mean is taken as if there were so many more films of average rating, since the mean of one film is mostly chance.
SHRINKAGE: Final = 2.0
YEAR_BITS: Final = 16
LATEST: Final = (1 << YEAR_BITS) - 1  # stands for an unknown year of a request: all films count
CREDIT: Final = np.dtype([("place", "<u8"), ("rating", "<f4")])

Keys = npt.NDArray[np.uint64]
# For each role, the rows of movies and the keys of their people, an entry for each person of a movie.
Credits = Sequence[tuple[Ints, Keys]]
# Of a row of a table: the films that must not count for it, as their number and the sum of their ratings by person.
Withheld = Mapping[int, Mapping[int, tuple[int, float]]]


@dataclass(frozen=True)
class TrackRecords:
    """Credits of rated films, sorted by person and year.

    ``places`` (credits,) holds the key of a person in a role (48 bits) and the film's year (16 bits) in one number, so
    that the credits of a person before a year are neighbours. ``ratings`` (credits,) holds the film's rating in
    standard deviations from what is usual for its year and source.
    """

    places: Keys
    ratings: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        sums = np.concatenate([[0.0], np.cumsum(self.ratings, dtype=np.float64)])
        object.__setattr__(self, "_sums", sums)

    def features(self, movies: Sequence[Mapping[str, Any]], years: Ints, withheld: Withheld | None = None) -> Floats:
        """`FEATURES` of each movie as of its year, shape (movies, features); ``years`` is (movies,).

        The feature of a role is the mean, over those of the movie's people who have earlier films, of the shrunken mean
        of these films' ratings: 0 where nobody has. It does not depend on how many people are named.
        """
        return self.of_credits(credits_of(movies), years, withheld)

    def of_credits(self, people: Credits, years: Ints, withheld: Withheld | None = None) -> Floats:
        """As `features`, of movies whose people are looked up already (`credits_of`)."""
        rows = len(years)
        found = np.zeros((rows, len(FEATURES)))
        for place, (owners, keys) in enumerate(people):
            counts, sums = self._before(keys, years[owners])
            for row, films in (withheld or {}).items():
                for each in np.flatnonzero(owners == row):
                    count, total = films.get(int(keys[each]), (0, 0.0))
                    counts[each] -= count
                    sums[each] -= total
            known = counts > 0
            means = sums / (counts + SHRINKAGE)
            found[:, place] = _mean(owners[known], means[known], rows)
        return found

    def _before(self, keys: Keys, years: Ints) -> tuple[Ints, Floats]:
        """Of each person, the number of films before the year and the sum of their ratings."""
        starts = keys << np.uint64(YEAR_BITS)
        first = np.searchsorted(self.places, starts)
        end = np.searchsorted(self.places, starts | np.clip(years, 0, LATEST).astype(np.uint64))
        sums: Floats = self._sums[end] - self._sums[first]  # type: ignore[attr-defined]
        return (end - first).astype(np.int64), sums


def key(name: str, role: str) -> int:
    """48 bits for a person in a role. Case and accents make no difference: sources write them differently."""
    return _hash(f"{role}:{name}")


@lru_cache(maxsize=1 << 16)
def _hash(text: str) -> int:
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    letters = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return int.from_bytes(hashlib.blake2b(letters.encode("utf-8", "surrogatepass"), digest_size=6).digest())


def credits_of(movies: Iterable[Mapping[str, Any]]) -> Credits:
    """For each of `ROLES`, the rows of the movies and the keys of their people: an entry for each person of a movie."""
    owners, keys = [array("q") for _ in ROLES], [array("Q") for _ in ROLES]
    for row, movie in enumerate(movies):
        for place, role in enumerate(ROLES):
            for each in dict.fromkeys(key(name, role) for name in names(movie, role)):
                owners[place].append(row)
                keys[place].append(each)
    return [
        (np.array(rows, dtype=np.int64), np.array(found, dtype=np.uint64))
        for rows, found in zip(owners, keys, strict=True)
    ]


def years_of(movies: Sequence[Mapping[str, Any]]) -> Ints:
    """The year as of which each movie of a request is read; an unknown year is read as of today."""
    return np.array([number(movie, "year") or LATEST for movie in movies], dtype=np.int64)


def collected(keys: Keys, years: Ints, ratings: Floats) -> TrackRecords:
    """The records of credits, one in each row: a person's key, the film's year and its standardised rating."""
    places = (keys << np.uint64(YEAR_BITS)) | years.astype(np.uint64)
    # By rating too, so that the sums do not depend on the order of the films.
    order = np.lexsort((ratings, places))
    return TrackRecords(places[order], ratings[order].astype(np.float32))


def write(folder: Path, records: TrackRecords) -> None:
    """Put the records into a checkpoint folder."""
    table = np.empty(len(records.places), dtype=CREDIT)
    table["place"], table["rating"] = records.places, records.ratings
    np.save(folder / FILE, table, allow_pickle=False)


def read(folder: str | Path) -> TrackRecords:
    """Read the records of a checkpoint folder.

    Raises:
        UserError: the file is missing or broken, is not sorted, or holds a rating that is not a finite number.
    """
    path = Path(folder, FILE)
    try:
        table = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (ValueError, OSError, EOFError, SyntaxError, MemoryError, OverflowError) as error:
        raise UserError(f"{path}: not track records ({' '.join(str(error).split())[:200]})") from None
    if not isinstance(table, np.ndarray) or table.dtype != CREDIT or table.ndim != 1:
        raise UserError(f"{path}: not track records (expected a table of places and ratings)")
    places, ratings = table["place"].copy(), table["rating"].copy()
    if (places[1:] < places[:-1]).any():
        raise UserError(f"{path}: not track records (the places do not rise)")
    if not (np.abs(ratings) <= 1e6).all():
        raise UserError(f"{path}: not track records (a rating is not a finite number)")
    return TrackRecords(places, ratings)


def _mean(owners: Ints, values: Floats, rows: int) -> Floats:
    """The mean value of each row; 0 for a row without values."""
    counts = np.bincount(owners, minlength=rows)
    means: Floats = np.bincount(owners, values, rows) / np.maximum(counts, 1)
    return means
