"""The user's key to TMDB, read from the environment and kept out of every message and file."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from movie_ratings.core.errors import UserError

NAMES: Final = ("TMDB_ACCESS_TOKEN", "TMDB_API_KEY")  # in the order of their precedence
NEEDED: Final = (
    "needs TMDB_API_KEY or TMDB_ACCESS_TOKEN in the environment or in .env (get one at "
    "https://www.themoviedb.org/settings/api)"
)


@dataclass(frozen=True)
class Credentials:
    """The proof of identity in each request: a v3 key in the query, or a v4 token in a header."""

    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def load(purpose: str = "fetch.source tmdb", otherwise: str = "; fetch.source sample needs none") -> Credentials:
    """Read TMDB_ACCESS_TOKEN or TMDB_API_KEY from the environment or from the file ``.env``.

    ``purpose`` and ``otherwise`` are the beginning and the end of the complaint that there is no key.

    Raises:
        UserError: neither is set, or the value cannot be a key.
    """
    from dotenv import dotenv_values  # here, because the service reads its environment alone

    found = among({**dotenv_values(".env"), **os.environ})
    if found is None:
        raise UserError(f"{purpose} {NEEDED}{otherwise}")
    return found


def among(environment: Mapping[str, str | None]) -> Credentials | None:
    """The credentials in an environment; None if it has none.

    Raises:
        UserError: the value cannot be a key.
    """
    for name in NAMES:
        value = (environment.get(name) or "").strip()
        if value and not re.fullmatch(r"[\x21-\x7e]+", value):
            raise UserError(f"{name} holds a space, a line break or a letter that no key has")
        if value and name == "TMDB_ACCESS_TOKEN":
            return Credentials(headers={"Authorization": f"Bearer {value}"})
        if value:
            return Credentials(query={"api_key": value})
    return None
