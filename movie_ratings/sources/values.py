"""Values as the sources write them, turned into those of the movie record."""

from datetime import date


def day(text: str | None) -> date | None:
    """The date of an ISO day; None for everything else ("" is an everyday value)."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None


def minutes(value: float | str | None) -> int | None:
    """Whole minutes; 0 is how the sources write "unknown"."""
    return round(float(value)) or None if value else None
