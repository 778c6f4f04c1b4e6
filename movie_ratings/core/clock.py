"""The present moment, which tests may set."""

import os
from datetime import UTC, datetime

from movie_ratings.core.errors import UserError

VARIABLE = "MOVIE_RATINGS_NOW"


def now() -> datetime:
    """The moment in UTC, in whole seconds; that of MOVIE_RATINGS_NOW (ISO 8601, UTC where it names no zone) if set.

    Raises:
        UserError: the variable holds no moment.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        return datetime.now(UTC).replace(microsecond=0)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"{VARIABLE}: expected a moment such as 2026-11-26T12:00:00, found {text[:40]!r}") from None
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return found.replace(microsecond=0)
