"""A movie in a link: its known fields as compact JSON in base64url, in the parameter ``movie`` of the page's address.

Whoever has the link can read the movie, and so can the proxies on its way. The service logs no query of a request.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from movie_ratings.core.errors import UserError
from movie_ratings.movies.validation import ValidMovie
from serving import schemas
from serving.page.form import INPUTS, known

PARAMETER: Final = "movie"
# Characters. The browser sends the query with each event, and the head of a request has at most 16,384 bytes.
LONGEST: Final = 8_000


class LinkError(UserError):
    """A movie is too long for a link, or a link holds no movie."""


def pack(movie: Mapping[str, Any]) -> str:
    """The value of the parameter for a movie, whose characters need no escape in a query.

    Raises:
        LinkError: the movie is too long for a link.
    """
    content = json.dumps(known(movie), ensure_ascii=False, separators=(",", ":"))
    packed = base64.urlsafe_b64encode(content.encode("utf-8", "replace")).decode().rstrip("=")
    if len(packed) > LONGEST:
        raise LinkError(f"the movie is too long for a link: {len(packed):,} characters of at most {LONGEST:,}")
    return packed


def unpack(packed: str) -> ValidMovie:
    """The movie of a parameter's value, checked as each other movie is.

    Raises:
        LinkError: the value is none that `pack` returns.
        MovieError: a field of the movie is wrong or too long.
    """
    if len(packed) > LONGEST:
        raise LinkError(f"the link is too long: {len(packed):,} characters of at most {LONGEST:,}")
    try:
        content = base64.b64decode(packed + "=" * (-len(packed) % 4), b"-_", validate=True).decode()
        found = json.loads(content, parse_constant=_refuse)
        # What JSON writes as \ud800 is half a character, which no text has.
        json.dumps(found, ensure_ascii=False).encode()
    # Base64, UTF-8 and JSON each have an error of their own, and JSON can be nested too deep.
    except (binascii.Error, ValueError, RecursionError):
        raise LinkError("the link is broken: it holds no movie") from None
    if not isinstance(found, dict) or not set(found) <= set(INPUTS):
        raise LinkError("the link is broken: it holds no movie")
    return schemas.checked(found)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
