"""What a training reads: two splits of movies, the fields that are known of them, their weights, and facts left out."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from movie_ratings.core.arrays import Floats
from movie_ratings.core.errors import UserError
from movie_ratings.movies.labels import Thresholds
from movie_ratings.movies.record import OUTSIDE
from movie_ratings.movies.rows import Movies
from movie_ratings.movies.text import NAMES, PLOT, facts_among


@dataclass(frozen=True)
class Data:
    """The two splits of a training, as tables of `movies.record.LABELLED`.

    ``outside`` holds rated films of other tables, for the track records of people (`movies.record.OUTSIDE`).
    ``thresholds`` lie between the classes. ``origin`` holds the hashes of the files that the splits come from, by path.
    Origin and parameters together identify a training: an interrupted one continues if both are the same.

    Raises:
        UserError: a split is empty.
    """

    train: pa.Table
    validation: pa.Table
    thresholds: Thresholds
    origin: dict[str, str]
    outside: pa.Table = field(default_factory=OUTSIDE.empty_table)

    def __post_init__(self) -> None:
        for name in ("train", "validation"):
            if getattr(self, name).num_rows == 0:
                raise UserError(f"the {name} split has no rows")


def known_fields(movies: pa.Table, fields: Sequence[str]) -> list[str]:
    """The fields that at least one movie has, and always title, genres and summary, in the order of ``fields``."""
    read = {name: movies[name] for name in facts_among(fields)}
    known = {
        name
        for name, values in read.items()
        if pc.any(pc.greater(pc.list_value_length(values), 0) if name in NAMES else pc.is_valid(values)).as_py()
    }
    return [name for name in fields if name in PLOT or name in known]


def vote_weights(counts: pa.ChunkedArray, half: float) -> Floats:
    """The weight of each movie in the loss, shape (movies,), with a mean of 1.

    The weight is proportional to votes / (votes + ``half``), because the mean of many votes has a smaller error than
    the mean of a few. A missing count is read as one vote. All weights are 1 if ``half`` is 0 or no movie has votes.
    """
    votes = pc.fill_null(counts, 0).to_numpy().astype(np.float64)
    if half == 0 or not votes.any():
        return np.ones(len(votes))
    votes = np.maximum(votes, 1)
    weights: Floats = votes / (votes + half)
    return weights / weights.mean()


def drop_fields(movies: Movies, fields: Sequence[str], seed: int, names: Sequence[str] = ()) -> Movies:
    """Each movie once more with facts left out, as requests leave facts out; no movie if ``fields`` has no facts.

    Half of the movies keep title, genres and summary alone (`movies.text.PLOT`). The other half keeps each fact, and
    each of ``names``, with a probability of one half.
    """
    facts = facts_among(fields)
    if not facts:
        return movies[:0]
    generator = np.random.default_rng(seed)
    coins = generator.random((len(movies), 1 + len(facts))) < 0.5
    # Drawn behind the others: which facts of the text are left out does not depend on what the linear part reads.
    more = generator.random((len(movies), len(names))) < 0.5
    return movies.without([*facts, *names], np.hstack([coins[:, 1:], more]) | coins[:, :1])
