"""What the log holds of a movie, and the ids of predictions. A service without a log imports this, but no pyarrow."""

import hashlib
import secrets
import time
from collections.abc import Mapping
from typing import Any, Final

from movie_ratings.movies import text
from movie_ratings.movies.release import with_year

TAG: Final = 5  # bytes of an id that follow from the others and the key
ID: Final = r"^[0-9a-f]{32}$"


def new_id(key: bytes) -> str:
    """32 hexadecimal digits: the time, a random part, and a tag that only those who have the key can compute."""
    body = time.time_ns().to_bytes(8, "big")[:6] + secrets.token_bytes(5)
    return (body + _tag(body, key)).hex()


def is_own(number: str, key: bytes) -> bool:
    """Whether `new_id` made this id with this key; no list of ids is needed to find out."""
    try:
        found = bytes.fromhex(number)
    except ValueError:
        return False
    return len(found) == 16 and secrets.compare_digest(found[-TAG:], _tag(found[:-TAG], key))


def _tag(body: bytes, key: bytes) -> bytes:
    return hashlib.blake2b(body, key=key, digest_size=TAG, person=b"prediction id").digest()


def content(movie: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are known of a movie, as a model reads them: names that no model reads are left out."""
    movie = with_year(movie)
    found = {field: text.normalise(movie.get(field) or "") for field in text.TEXTS}
    found |= {field: text.number(movie, field) for field in text.NUMBERS}  # type: ignore[misc]
    found |= {field: text.names(movie, field) for field in text.NAMES}  # type: ignore[misc]
    return {field: found[field] for field in text.FIELDS if found[field]}


def input_hash(content: str, key: bytes) -> str:
    """A keyed hash of a movie's `content` as JSON: without the key, short titles cannot be found by trying them."""
    return hashlib.blake2b(content.encode(), key=key, digest_size=16, person=b"input").hexdigest()
