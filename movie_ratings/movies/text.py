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

# The fields that a model may read, in the order of params.yaml. All of them are known before a movie's release.
FIELDS: Final = ("title", "genres", "year", "runtime", "spoken_languages", "directors", "cast", "summary")
# Every request has these fields, or may have them. The other fields are called facts: requests may leave them out.
PLOT: Final = ("title", "genres", "summary")
NUMBERS: Final = ("year", "runtime")
NAMES: Final = ("genres", "spoken_languages", "directors", "cast")
# How many names of a field are read: the first ones, which are the stars of a cast. A request may hold thousands of
# names, and each costs time. The number of names must not reach the model either: a long cast list shows that many
# people cared about a movie, which is known only after its release. The sources list at most ten genres of a movie.
FIRST: Final = {"genres": 10, "spoken_languages": 4, "directors": 2, "cast": 5}
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
    """The ``year`` of release or the ``runtime`` in minutes; None if it is unknown."""
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

    ``title`` and ``summary`` are strings, ``year`` and ``runtime`` integers, the fields of `NAMES` lists of strings;
    an absent or empty field adds nothing to the text.
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
    match field:
        case "title" | "summary":
            return normalise(movie.get(field) or "")
        case "year" | "runtime":
            found = number(movie, field)
            return "" if found is None else f"{found} minutes" if field == "runtime" else str(found)
        case _:
            listed = ", ".join(names(movie, field))
            opening = {"spoken_languages": "In ", "directors": "Directed by ", "cast": "Starring "}.get(field, "")
            return listed and opening + listed
