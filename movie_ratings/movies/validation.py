"""The one check of a movie that comes from outside: from the API, the page, the command line or a file.

`validated` is the only way to a `ValidMovie`. What predicts (the classifier's inner methods, the batches of the
service, the bulk engine, Ray's workers) takes a `ValidMovie` and checks nothing again.
"""

from collections.abc import Mapping
from reprlib import Repr
from typing import Any, Final, NewType

from movie_ratings.core.errors import UserError
from movie_ratings.movies.text import NAMES, TEXTS, normalise

# Years, minutes, US dollars.
RANGES: Final = {"year": (1870, 2100), "runtime": (0, 10_000), "budget": (0, 10_000_000_000)}
# Far above every real movie. Without limits, one movie could keep a processor busy for minutes: the time of a
# prediction grows with the square of the number of genres.
MAX_TEXT: Final = 1_000_000  # characters of a title or a summary
MAX_NAMES: Final = 1_000  # in a list
MAX_NAME: Final = 10_000  # characters

_SHORT: Final = Repr()
_SHORT.maxlevel = 2
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80

# A movie whose fields have the types and ranges that `movie_ratings.movies.text` reads.
ValidMovie = NewType("ValidMovie", Mapping[str, Any])


class MovieError(UserError):
    """A field of a movie cannot be read.

    ``field`` is the name of the field, ``reason`` a sentence that names the field too and quotes the value. The message
    is the reason alone: the code that knows where the movie came from adds the place, with `at`.
    """

    def __init__(self, field: str, reason: str):
        super().__init__(reason)
        self.field, self.reason = field, reason

    def at(self, place: str) -> UserError:
        """The error with the place of the movie in front: "movies.csv line 3: title must be text, found 7"."""
        return UserError(f"{place}: {self.reason}")


def validated(movie: Mapping[str, Any]) -> ValidMovie:
    """The movie itself, once its fields are checked.

    A field may be absent, None or empty, and a number may be NaN: all of these mean "not known". Title and summary may
    not both be unknown. Fields that no model reads are not checked.

    Raises:
        MovieError: a field has the wrong type, lies outside its range or is too long, or title and summary are both
            empty.
    """
    for field in TEXTS:
        text = movie.get(field) or ""
        if not isinstance(text, str):
            raise MovieError(field, f"{field} must be text, found {_shown(text)}")
        if len(text) > MAX_TEXT:
            raise MovieError(field, f"{field} must have at most {MAX_TEXT:,} characters, found {len(text):,}")
    for field in NAMES:
        _check_names(field, movie.get(field) or [])
    for field, (least, most) in RANGES.items():
        value = movie.get(field)
        # NaN stands for a missing number in tables.
        if value is not None and value == value and not (_is_whole(value) and least <= value <= most):
            raise MovieError(field, f"{field} must be a whole number from {least} to {most:,}, found {_shown(value)}")
    if not normalise(movie.get("title") or "") and not normalise(movie.get("summary") or ""):
        raise MovieError("title", "title and summary are both empty")
    return ValidMovie(movie)


def _check_names(field: str, found: Any) -> None:
    if not isinstance(found, list):
        raise MovieError(field, f"{field} must be a list of names, found {_shown(found)}")
    if len(found) > MAX_NAMES:
        raise MovieError(field, f"{field} must have at most {MAX_NAMES:,} names, found {len(found):,}")
    for name in found:
        if not isinstance(name, str):
            raise MovieError(field, f"{field} must be a list of names, found {_shown(found)}")
        if len(name) > MAX_NAME:
            raise MovieError(field, f"each of {field} must have at most {MAX_NAME:,} characters, found {len(name):,}")


def _shown(value: Any) -> str:
    """A value as an error message quotes it: a few items of a list, a few characters of a text."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python does not write integers of more than 4,300 digits
        return "a number of very many digits"


def _is_whole(value: Any) -> bool:
    return not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
