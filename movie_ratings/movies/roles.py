"""The fields of the movie record that name who made a movie: their earlier films can be read as a track record."""

from typing import Final

ROLES: Final = (
    "directors", "cast", "writers", "producers", "cinematographers", "editors", "composers", "companies",
)  # fmt: skip
