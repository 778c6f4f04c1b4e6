"""Audit: does each fact predict by what it says, or by how much was written about a movie?

The linear part is fitted on the training and validation movies, out of fold, with each of its facts left out, made
anonymous, and shuffled among the movies. A fact that predicts ratings without what it says may tell how famous a movie
became: the stage warns of it.

metrics/audit.json  R², log-loss and gain of each fact's variants, the flagged facts, and the warnings
"""

import sys

import pyarrow as pa

from movie_ratings import params
from movie_ratings.core import parquet, storage
from movie_ratings.core.command import run_stage
from movie_ratings.core.paths import AUDIT, OUTSIDE
from movie_ratings.core.rounding import rounded
from movie_ratings.evaluation.audit import AuditData, audit
from movie_ratings.movies import record, splits
from movie_ratings.movies.rows import evenly_spaced
from movie_ratings.training.data import known_fields, vote_weights
from movie_ratings.training.ridge import Reads


def audit_stage() -> None:
    options = params.load()
    movies = pa.concat_tables([splits.read(split) for split in ("train", "validation")])
    movies = movies.take(evenly_spaced(movies.num_rows, options.audit.max_rows))
    names = [field for field in known_fields(movies, options.linear.names) if field in options.linear.names]
    found = audit(
        AuditData(
            movies,
            vote_weights(movies["vote_count"], options.train.vote_weighting),
            parquet.read_table(OUTSIDE, record.OUTSIDE),
            splits.read_thresholds(),
        ),
        Reads(tuple(known_fields(movies, options.text.fields)), tuple(names)),
        options.linear,
        options.audit.seed,
    )
    storage.write_json(AUDIT, rounded(found))
    worth = ", ".join(f"{fact} {each['worth']:+.4f}" for fact, each in found["facts"].items())
    print(f"audit: R² {found['whole']['r2']:.3f} of {found['movies']:,} movies; worth of the facts: {worth}")
    for warning in found["warnings"]:
        print(f"audit: warning: {warning}", file=sys.stderr)


if __name__ == "__main__":
    run_stage(audit_stage, [AUDIT])
