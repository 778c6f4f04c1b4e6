"""Outcome: score the predictions of slates by the ratings that the films have by now.

Asks TMDB for the films of the given slates (python -m stages.slate), and compares the old predictions with today's
ratings of the films with at least clean.min_votes votes: by model version, and by the time between prediction and
release. Films without enough votes are counted. Needs TMDB_API_KEY or TMDB_ACCESS_TOKEN. A command that was stopped
goes on where it was, if it runs again on the same day (UTC).

data/reports/outcome.html  the page
data/reports/outcome.json  its figures
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from movie_ratings import params
from movie_ratings.core import clock, parquet, storage
from movie_ratings.core.command import exit_code, locked
from movie_ratings.core.errors import UserError
from movie_ratings.core.paths import OUTCOME, OUTCOME_PAGE
from movie_ratings.core.rounding import rounded
from movie_ratings.evaluation.outcome import BEFORE, Drawn, Today, outcomes
from movie_ratings.params import Tmdb
from movie_ratings.prediction.slates import SLATE
from movie_ratings.reports import outcome_page
from movie_ratings.sources.fetch_report import FetchReport
from movie_ratings.sources.tmdb import credentials
from movie_ratings.sources.tmdb.archive import Archive, Ids
from movie_ratings.sources.tmdb.collector import collect_ids
from movie_ratings.sources.tmdb.movies import stored


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.outcome",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example: python -m stages.outcome data/slates/*.parquet",
    )
    parser.add_argument("slates", nargs="+", type=Path, metavar="SLATE", help="a file of data/slates")
    options = parser.parse_args(arguments)
    return exit_code(locked(lambda: outcome(options.slates), [OUTCOME, OUTCOME_PAGE]))


def outcome(paths: Sequence[Path]) -> None:
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path}: no such slate; python -m stages.slate makes one")
    slates = pa.concat_tables([parquet.read_table(path, SLATE) for path in dict.fromkeys(paths)])
    if not slates.num_rows:
        raise UserError(f"{paths[0]}: no films in the given slates")
    options, rated = params.load(), clock.now()
    credentials.load("stages.outcome", "")
    # The ratings of one day, in a store of their own: another day has other ratings.
    kept, day = storage.store() / "outcome", f"{rated:%Y-%m-%d}"
    for older in kept.iterdir() if kept.is_dir() else ():
        if older.name != day:
            storage.remove(older)
    today = _today(options.fetch.tmdb, np.unique(slates["id"].to_numpy()), kept / day)
    drawn = Drawn(options.evaluate.bootstrap, options.evaluate.seed)
    rows = outcomes(slates, today, options.clean.min_votes, drawn)
    found = {
        "rated": f"{rated:%Y-%m-%d %H:%M} UTC",
        "min_votes": options.clean.min_votes,
        "slates": [str(path) for path in dict.fromkeys(paths)],
        "rows": rows,
    }
    storage.write_json(OUTCOME, rounded(found))
    outcome_page.write(OUTCOME_PAGE, found)
    storage.remove(kept)
    for row in rows:
        if row["asked"] == BEFORE:
            print(
                f"model {row['model_version']}: {row['films']:,} films, {row['scored']:,} of them scored"
                + (f", rating off by {row['mean_absolute_error']:.2f} points on average" if row["scored"] else "")
            )
    print(f"outcome: {OUTCOME_PAGE} and {OUTCOME} written")


def _today(tmdb: Tmdb, ids: Ids, folder: Path) -> Today:
    report = FetchReport()
    with Archive(folder, tmdb.api_url, tmdb.language) as archive:
        asyncio.run(collect_ids(archive, tmdb, ids))
        films = {film["id"]: film for batch in stored(archive, ids, tmdb, report) for film in batch.to_pylist()}
        gone = np.intersect1d(ids, archive.gone()).tolist()
    # A film whose request failed may have an older answer of the same day.
    return Today(films, frozenset(gone))


if __name__ == "__main__":
    sys.exit(main())
