"""Conversion of the sources' values to the values of the movie record."""

from datetime import date
from typing import Final

# US dollars: that of `movie_ratings.movies.validation`, whose change must not make fetch run again.
MAX_BUDGET: Final = 10_000_000_000


def day(text: str | None) -> date | None:
    """The date of an ISO day; None for any other text (sources write "" for an unknown day)."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None


def minutes(value: float | str | None) -> int | None:
    """Whole minutes; None for an unknown runtime, which the sources write as 0."""
    return round(float(value)) or None if value else None


def dollars(value: int | str | None) -> int | None:
    """Whole US dollars; None for an unknown budget, which the sources write as 0, and for an impossible one."""
    found = int(value) if value else 0
    return found if 0 < found <= MAX_BUDGET else None
