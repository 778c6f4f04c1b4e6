"""One movie as TMDB describes it: the fields that the project reads, with the values that they may have.

A field may be absent. A field of another type, or a value out of range, makes the whole answer invalid: the archive
stores valid answers alone, and every stored answer is validated again when it is read.
"""

from collections.abc import Iterable
from datetime import date
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, model_validator

from movie_ratings.sources.crew import JOBS, by_role
from movie_ratings.sources.values import day, dollars, minutes

FIRST_YEAR: Final = 1800  # TMDB's oldest film is of 1874
LAST_YEAR: Final = 2200
APPENDED: Final = "credits,keywords"  # what a request asks for besides the movie's own fields

LAST_ID: Final = 2**63 - 1  # the archive and the movie record store 64 bits
Id = Annotated[int, Field(gt=0, lt=LAST_ID + 1)]
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Name = Annotated[str, Field(max_length=1_000)]
Title = Annotated[str, Field(max_length=2_000)]
Overview = Annotated[str, Field(max_length=100_000)]
Language = Annotated[str, Field(max_length=35)]  # the longest BCP 47 tag that every reader must accept


def _possible_day(text: str) -> str:
    """Refuse text that is neither empty, as TMDB writes an unknown day, nor a day on which a film can be released."""
    if not text:
        return text
    try:
        year = date.fromisoformat(text).year
    except ValueError:
        raise ValueError("expected YYYY-MM-DD") from None
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise ValueError(f"expected a year from {FIRST_YEAR} to {LAST_YEAR}")
    return text


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class Named(_Shape):
    """A genre, a language, a company, a country, a collection or a keyword."""

    name: Name | None = None


class Cast(_Shape):
    """An actor; ``order`` is the place in the billing."""

    name: Name | None = None
    order: Int64 | None = None


class Crew(_Shape):
    """A member of the crew."""

    name: Name | None = None
    job: Name | None = None


class Credits(_Shape):
    """The cast and the crew. The longest real lists have a few thousand entries."""

    cast: Annotated[list[Cast], Field(max_length=20_000)] | None = None
    crew: Annotated[list[Crew], Field(max_length=20_000)] | None = None


class Keywords(_Shape):
    """The keywords, in a list of their own name."""

    keywords: Annotated[list[Named], Field(max_length=20_000)] | None = None


class Details(_Shape):
    """The answer to ``/movie/{id}`` with `APPENDED`. An answer that was stored without keywords is valid."""

    id: Id
    title: Title | None = None
    original_title: Title | None = None
    overview: Overview | None = None
    genres: Annotated[list[Named], Field(max_length=1_000)] | None = None
    spoken_languages: Annotated[list[Named], Field(max_length=1_000)] | None = None
    original_language: Language | None = None
    production_companies: Annotated[list[Named], Field(max_length=1_000)] | None = None
    production_countries: Annotated[list[Named], Field(max_length=1_000)] | None = None
    belongs_to_collection: Named | None = None
    keywords: Keywords | None = None
    release_date: Annotated[str, Field(max_length=10), AfterValidator(_possible_day)] | None = None
    runtime: Annotated[float, Field(ge=0, le=1_000_000)] | None = None  # minutes; the longest film has 51,420
    budget: Annotated[int, Field(ge=0, lt=2**63)] | None = None  # US dollars; people write impossible ones
    vote_average: Annotated[float, Field(ge=0, le=10)] | None = None
    vote_count: Annotated[int, Field(ge=0, le=10_000_000_000)] | None = None  # more than there are people
    popularity: Annotated[float, Field(ge=0)] | None = None
    adult: bool | None = None
    credits: Credits | None = None

    @model_validator(mode="after")
    def _is_requested(self, info: ValidationInfo) -> Self:
        requested = (info.context or {}).get("id", self.id)
        if self.id != requested:
            raise ValueError(f"the answer describes movie {self.id}, the request was for {requested}")
        return self


def parse(text: bytes, movie_id: int) -> Details:
    """Read the description of the movie ``movie_id`` from JSON.

    Raises:
        pydantic.ValidationError: ``text`` is not JSON, a value has another type or is out of range, or the description
            is of another movie.
    """
    return Details.model_validate_json(text, context={"id": movie_id})


def in_one_line(error: ValidationError) -> str:
    """The first invalid field and the reason, without the value."""
    first = error.errors(include_url=False, include_input=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    return f"{key}{': ' if key else ''}{first['msg'].removeprefix('Value error, ')}"


def movie(details: Details, cast_size: int) -> dict[str, Any]:
    """The movie record: the first ``cast_size`` names of the billing; empty text and a runtime of 0 are null."""
    people = details.credits or Credits()
    unbilled = len(people.cast or [])
    billing = sorted(people.cast or [], key=lambda actor: unbilled if actor.order is None else actor.order)
    crew = dict.fromkeys(JOBS) if people.crew is None else by_role((one.name, one.job) for one in people.crew)
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
        **crew,
        "companies": _names(details.production_companies),
        "countries": _names(details.production_countries),
        "collection": (details.belongs_to_collection.name or None) if details.belongs_to_collection else None,
        "keywords": _names(details.keywords.keywords if details.keywords else None),
        "release_date": day(details.release_date),
        "runtime": minutes(details.runtime),
        "budget": dollars(details.budget),
        "vote_average": details.vote_average,
        "vote_count": details.vote_count,
        "popularity": details.popularity,
        "adult": details.adult,
    }


def _names(named: Iterable[Named | Cast] | None) -> list[str] | None:
    return None if named is None else [one.name for one in named if one.name]
