"""Conversion of the sources' values to the values of the movie record."""

from datetime import date


def day(text: str | None) -> date | None:
    """The date of an ISO day; None for any other text (sources write "" for an unknown day)."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None


def minutes(value: float | str | None) -> int | None:
    """Whole minutes; None for an unknown runtime, which the sources write as 0."""
    return round(float(value)) or None if value else None
