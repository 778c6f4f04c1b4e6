"""What TMDB's answers mean, whichever library sends the request: status codes, pauses and the longest answer."""

import email.utils
import math
import time
from typing import Final

from pydantic import BaseModel, ValidationError

LONGEST_PAUSE = 900.0  # seconds; a longer Retry-After is cut to this
LONGEST_ANSWER: Final = 8 << 20  # bytes, after decompression; TMDB's longest answers have about 1 MB
GONE = (404, 410)

# TMDB's status codes, and the HTTP statuses that TMDB documents for them (developer.themoviedb.org/docs/errors). A body
# with such a code can arrive under HTTP 200, out of a cache for example. Codes that a reader cannot meet are left out.
HTTP_STATUS_OF: Final = {
    3: 401, 6: 404, 7: 401, 9: 503, 10: 401, 11: 500, 14: 401, 15: 500, 24: 504, 25: 429, 34: 404, 35: 401, 43: 502,
    45: 401, 46: 503,
}  # fmt: skip


class _Status(BaseModel):
    """The body that TMDB sends in place of an answer."""

    status_code: int


def status_code(body: bytes) -> int | None:
    """TMDB's status code in a body; None in an answer."""
    try:
        return _Status.model_validate_json(body).status_code
    except ValidationError:
        return None


def retry_after(header: str | None) -> float:
    """Seconds in a Retry-After header, which holds a number or a date; 0 if the header is absent or unreadable."""
    try:
        seconds = float(header or 0)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header or "").timestamp() - time.time()
        except (ValueError, TypeError, LookupError, ArithmeticError, OSError):
            seconds = 0.0  # a date that no calendar or time zone has
    return 0.0 if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_PAUSE)
