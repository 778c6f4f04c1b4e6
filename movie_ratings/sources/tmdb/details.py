"""What TMDB says of one movie: the part of its answer that we read, strict about types and tolerant about absence."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict

from movie_ratings.sources.values import day, minutes


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class Named(_Shape):
    """A genre or a language."""

    name: str | None = None


class Cast(_Shape):
    """One who plays; ``order`` is the place in the billing."""

    name: str | None = None
    order: int | None = None


class Crew(_Shape):
    """One who makes."""

    name: str | None = None
    job: str | None = None


class Credits(_Shape):
    """Those who play and those who make."""

    cast: list[Cast] | None = None
    crew: list[Crew] | None = None


class Details(_Shape):
    """The answer to ``/movie/{id}?append_to_response=credits``."""

    id: int
    title: str | None = None
    original_title: str | None = None
    overview: str | None = None
    genres: list[Named] | None = None
    spoken_languages: list[Named] | None = None
    original_language: str | None = None
    release_date: str | None = None
    runtime: float | None = None
    vote_average: float | None = None
    vote_count: int | None = None
    popularity: float | None = None
    adult: bool | None = None
    credits: Credits | None = None


def movie(details: Details, cast_size: int) -> dict[str, Any]:
    """The movie record: the first ``cast_size`` of the billing; empty text and a runtime of 0 are null."""
    people = details.credits or Credits()
    unbilled = len(people.cast or [])
    billing = sorted(people.cast or [], key=lambda who: unbilled if who.order is None else who.order)
    return {
        "id": details.id,
        "source": "tmdb",
        "title": details.title or None,
        "original_title": details.original_title or None,
        "summary": details.overview or None,
        "genres": _names(details.genres),
        "spoken_languages": _names(details.spoken_languages),
        "original_language": details.original_language or None,
        "cast": None if people.cast is None else _names(billing[:cast_size]),
        "directors": None if people.crew is None else _names(who for who in people.crew if who.job == "Director"),
        "release_date": day(details.release_date),
        "runtime": minutes(details.runtime),
        "vote_average": details.vote_average,
        "vote_count": details.vote_count,
        "popularity": details.popularity,
        "adult": details.adult,
    }


def _names(named: Iterable[Named | Cast | Crew] | None) -> list[str] | None:
    return None if named is None else [one.name for one in named if one.name]
