"""One movie of TMDB for the command line: by its id, or by its title."""

import json
import sys
from collections.abc import Sequence
from datetime import date
from typing import Any

from movie_ratings import params
from movie_ratings.core.errors import UserError
from movie_ratings.movies.text import normalise
from movie_ratings.movies.validation import RANGES, MovieError, ValidMovie, validated
from movie_ratings.sources.tmdb import credentials
from movie_ratings.sources.tmdb.details import LAST_ID
from movie_ratings.sources.tmdb.lookup import Match, Tmdb


def movie(movie_id: int | None, title: str | None, year: int | None, as_json: bool) -> ValidMovie:
    """The movie ``movie_id``, or the one that ``title`` finds; a line on standard error names it.

    Several matches are printed, as JSON if ``as_json``.

    Raises:
        UserError: no movie or several movies match, TMDB cannot be asked, or what it has cannot be predicted from.
    """
    if movie_id is not None and not 0 < movie_id <= LAST_ID:
        raise UserError(f"--tmdb: expected an id above 0, found {movie_id}")
    if year is not None and not RANGES["year"][0] <= year <= RANGES["year"][1]:
        raise UserError(f"--year: expected a year from {RANGES['year'][0]} to {RANGES['year'][1]}, found {year}")
    options = params.load().fetch.tmdb
    tmdb = Tmdb(
        credentials.load("--tmdb" if title is None else "--find", ""),
        options.api_url,
        options.language,
        options.cast_size,
    )
    if title is not None:
        movie_id = _found(tmdb, title, year, as_json)
    assert movie_id is not None
    film = tmdb.film(movie_id)
    if film is None:
        raise UserError(f"--tmdb {movie_id}: TMDB has no movie of this id")
    try:
        valid = validated(film.facts)
    except MovieError as error:
        raise error.at(f"TMDB movie {movie_id}") from None
    print(f"TMDB movie {movie_id}: {_named(valid.get('title'), film.record['release_date'])}", file=sys.stderr)
    return valid


def _found(tmdb: Tmdb, title: str, year: int | None, as_json: bool) -> int:
    try:
        matches = tmdb.search(title, year)
    except ValueError as error:
        raise UserError(f"--find: {error}") from None
    found = matches.results
    if len(found) == 1 and matches.total_results <= 1:
        return found[0].id
    asked = f"--find {json.dumps(title, ensure_ascii=False)}{'' if year is None else f' --year {year}'}"
    if not found:
        raise UserError(f"{asked}: TMDB has no such movie")
    _print(found, as_json)
    count = max(matches.total_results, len(found))
    first = f", of which the first {len(found)} are listed" if count > len(found) else ""
    raise UserError(f"{asked}: {count:,} movies match{first}; choose one with --tmdb ID")


def _print(matches: Sequence[Match], as_json: bool) -> None:
    if as_json:
        rows: list[dict[str, Any]] = [match.model_dump(exclude={"original_language"}) for match in matches]
        print(json.dumps({"matches": rows}))
        return
    for match in matches:
        original = match.original_title if match.original_title != match.title else ""
        extra = f" ({normalise(original)})" if original else ""
        print(f"{match.id:>9}  {_named(match.title, match.released)}{extra}")


def _named(title: str | None, released: date | None) -> str:
    return f"{normalise(title or '') or 'no title'}, {released or 'no date of release'}"
