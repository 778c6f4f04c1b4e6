"""The ids of the movies that TMDB lists between two days of release."""

from datetime import date, timedelta
from typing import Annotated, Final

from pydantic import BaseModel, Field

from movie_ratings.sources.tmdb.client import Client, NoAnswerError
from movie_ratings.sources.tmdb.details import Id

PAGES: Final = 500  # the last page of a list that the API gives
READINGS: Final = 3  # of one list, at most: movies move between its pages while they are read


class Listed(BaseModel):
    """A movie of the list."""

    id: Id


class Page(BaseModel):
    """The answer to /discover/movie: up to twenty movies."""

    results: Annotated[list[Listed], Field(max_length=1_000)]
    total_pages: Annotated[int, Field(ge=0, le=1_000_000)]
    total_results: Annotated[int, Field(ge=0, le=10_000_000)]


async def released(client: Client, start: date, end: date, adult: bool = False, video: bool = False) -> set[int]:
    """The movies whose first release is from ``start`` to ``end``, both included.

    A list of more than `PAGES` pages is read in halves of its days.

    Raises:
        NoAnswerError: a page cannot be had, or one day has too many pages.
    """
    found: set[int] = set()
    for _ in range(READINGS):
        page, pages, total = 1, 1, 0
        while page <= pages:
            query = {
                "primary_release_date.gte": start.isoformat(),
                "primary_release_date.lte": end.isoformat(),
                "include_adult": str(adult).lower(),
                "include_video": str(video).lower(),
                "sort_by": "primary_release_date.asc",
                "page": str(page),
            }
            answer = await client.get("discover/movie", query, Page.model_validate_json)
            if answer is None:
                raise NoAnswerError("HTTP 404")
            pages, total = answer.value.total_pages, answer.value.total_results
            if pages > PAGES and start < end:
                middle = start + (end - start) // 2
                first = await released(client, start, middle, adult, video)
                return first | await released(client, middle + timedelta(days=1), end, adult, video)
            if pages > PAGES:
                raise NoAnswerError(f"{pages:,} pages for one day, of which the API gives {PAGES}")
            found |= {movie.id for movie in answer.value.results}
            page += 1
        if len(found) >= total:
            break
    return found
