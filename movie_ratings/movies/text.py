"""The text format: how a movie becomes the text and the token ids that the model reads. No other module knows it.

Training and serving both call `compose` and `encode`, so that a model is served the texts that it was trained on. A
checkpoint stores the number of its format and its fields. A checkpoint of another format cannot be loaded.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Raise it with every change to what `compose` or `encode` return.
FORMAT: Final = 3

# The fields that a model may read.
FIELDS: Final = (
    "title", "genres", "year", "runtime", "spoken_languages", "directors", "cast", "writers", "producers",
    "cinematographers", "editors", "composers", "companies", "countries", "collection", "keywords", "budget", "summary",
)  # fmt: skip
# Fields that people fill in partly after a movie's release, so that they can tell its fame. No model reads them unless
# a parameter names them. (A first film belongs to a collection only once it has a sequel.)
LATE: Final = ("collection", "keywords", "budget")
# Every request has these fields, or may have them. The other fields are called facts: requests may leave them out.
PLOT: Final = ("title", "genres", "summary")
TEXTS: Final = ("title", "collection", "summary")
NUMBERS: Final = ("year", "runtime", "budget")
NAMES: Final = tuple(field for field in FIELDS if field not in TEXTS + NUMBERS)
# How many names of a field are read: the first ones, which are the stars of a cast. A request may hold thousands of
# names, and each costs time. The number of names must not reach the model either: a long cast list shows that many
# people cared about a movie, which is known only after its release. The sources list at most ten genres of a movie.
FIRST: Final = {
    "genres": 10, "spoken_languages": 4, "directors": 2, "cast": 5, "writers": 3, "producers": 3, "cinematographers": 2,
    "editors": 2, "composers": 2, "companies": 3, "countries": 3, "keywords": 10,
}  # fmt: skip
# What the names of a field are introduced by in a text.
OPENINGS: Final = {
    "spoken_languages": "In ", "directors": "Directed by ", "cast": "Starring ", "writers": "Written by ",
    "producers": "Produced by ", "cinematographers": "Photographed by ", "editors": "Edited by ",
    "composers": "Music by ", "companies": "A production of ", "countries": "From ", "keywords": "About ",
    "collection": "Part of ",
}  # fmt: skip
UNITS: Final = {"runtime": "{} minutes", "budget": "${:,}"}
NO_GENRE: Final = "NonGiven"


@dataclass(frozen=True)
class TextFormat:
    """The input of a checkpoint: the fields in their order, and the number of tokens after which a text is cut."""

    fields: tuple[str, ...]
    max_length: int  # tokens, special ones included


def facts_among(fields: Sequence[str]) -> list[str]:
    """The facts among ``fields``: all but title, genres and summary. A request may leave them out."""
    return [field for field in fields if field not in PLOT]


def normalise(text: str) -> str:
    """One space for each run of whitespace, none at the ends; NUL dropped, lone surrogates become U+FFFD."""
    if not text.isascii():  # ASCII has no surrogates, and the way through UTF-16 is slow
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return " ".join(text.replace("\0", "").split())


def names(movie: Mapping[str, Any], field: str) -> list[str]:
    """The names in a field of `NAMES` that a model reads: the first ones, as many as `FIRST` allows."""
    found = (name for name in map(normalise, movie.get(field) or ()) if name and name != NO_GENRE)
    return list(islice(found, FIRST[field]))


def number(movie: Mapping[str, Any], field: str) -> int | None:
    """The ``year`` of release, the ``runtime`` in minutes or the ``budget`` in US dollars; None if it is unknown."""
    found = movie.get(field)
    return None if not found or found != found else int(found)  # NaN is how tables say that they do not know


def has(movie: Mapping[str, Any], field: str) -> bool:
    """Whether the movie has a value in ``field``."""
    return bool(_phrase(movie, field))


def without(movie: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """The movie with None in these fields."""
    return {**movie, **dict.fromkeys(fields)}


def compose(movie: Mapping[str, Any], fields: Sequence[str]) -> str:
    """The text of one movie: each field that it has, in the order of ``fields``, as sentences.

    The fields of `TEXTS` are strings, those of `NUMBERS` integers, those of `NAMES` lists of strings. An absent or
    empty field adds nothing to the text.
    """
    phrases = (_phrase(movie, field) for field in fields)
    return " ".join(phrase if phrase[-1] in ".!?…" else f"{phrase}." for phrase in phrases if phrase)


def encode(tokenizer: "Tokenizer", movies: Sequence[Mapping[str, Any]], text: TextFormat) -> list[list[int]]:
    """Token ids of each movie, unpadded, special tokens included, at most ``text.max_length`` of them."""
    return tokenize(tokenizer, [compose(movie, text.fields) for movie in movies], text.max_length)


def tokenize(tokenizer: "Tokenizer", texts: list[str], max_length: int) -> list[list[int]]:
    """Token ids of each text that `compose` made, as `encode` returns them.

    A special token's name in a title or a summary ("[SEP]") is read as ordinary text.
    """
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    tokenizer.encode_special_tokens = True
    return [found.ids for found in tokenizer.encode_batch_fast(texts)]


def _phrase(movie: Mapping[str, Any], field: str) -> str:
    if field in TEXTS:
        text = normalise(movie.get(field) or "")
    elif field in NUMBERS:
        found = number(movie, field)
        return "" if found is None else UNITS.get(field, "{}").format(found)
    else:
        text = ", ".join(names(movie, field))
    return text and OPENINGS.get(field, "") + text
