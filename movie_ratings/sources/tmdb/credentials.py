"""The user's key to TMDB, read from the environment and kept out of every message and file."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from dotenv import dotenv_values

from movie_ratings.core.errors import UserError


@dataclass(frozen=True)
class Credentials:
    """The proof of identity in each request: a v3 key in the query, or a v4 token in a header."""

    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def load() -> Credentials:
    """Read TMDB_ACCESS_TOKEN or TMDB_API_KEY from the environment or from the file ``.env``.

    Raises:
        UserError: neither is set, or the value cannot be a key.
    """
    if token := _value("TMDB_ACCESS_TOKEN"):
        return Credentials(headers={"Authorization": f"Bearer {token}"})
    if key := _value("TMDB_API_KEY"):
        return Credentials(query={"api_key": key})
    raise UserError(
        "fetch.source tmdb needs TMDB_API_KEY or TMDB_ACCESS_TOKEN in the environment or in .env (get one at "
        "https://www.themoviedb.org/settings/api); fetch.source sample needs none"
    )


def _value(name: str) -> str:
    value = ({**dotenv_values(".env"), **os.environ}.get(name) or "").strip()
    if value and not re.fullmatch(r"[\x21-\x7e]+", value):
        raise UserError(f"{name} holds a space, a line break or a letter that no key has")
    return value
