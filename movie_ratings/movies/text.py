"""A movie as the text that the model reads: the only place that knows the format.

Training and serving both call `compose` and `encode`, so what is served is what was trained on. A checkpoint stores
`FORMAT` with the fields it was trained with; one of another format is refused rather than misread.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Raise it with every change to what `compose` or `encode` return.
FORMAT: Final = 2

# What a model may read, in the order of params.yaml. Nothing here is known only after people have seen the movie.
FIELDS: Final = ("title", "genres", "year", "runtime", "spoken_languages", "directors", "cast", "summary")
# The original's request, which every request is made of; the others are facts that may or may not be known.
PLOT: Final = ("title", "genres", "summary")
NUMBERS: Final = ("year", "runtime")
NAMES: Final = ("genres", "spoken_languages", "directors", "cast")
# So many names of a field are read, the first ones: a billing order names the stars first, and how long a cast list
# is tells how many people cared to write it down, which is known only after release.
FIRST: Final = {"spoken_languages": 4, "directors": 2, "cast": 5}
NO_GENRE: Final = "NonGiven"


@dataclass(frozen=True)
class TextFormat:
    """What a checkpoint needs to know about its input: the fields in their order, and where text is cut."""

    fields: tuple[str, ...]
    max_length: int  # tokens, special ones included


def facts_among(fields: Sequence[str]) -> list[str]:
    """Those of ``fields`` that are facts, which a request may leave out."""
    return [field for field in fields if field not in PLOT]


def normalise(text: str) -> str:
    """One space for each run of whitespace, none at the ends; NUL dropped, lone surrogates become U+FFFD."""
    if not text.isascii():  # the way through UTF-16 costs more than all the rest
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return " ".join(text.replace("\0", "").split())


def names(movie: Mapping[str, Any], field: str) -> list[str]:
    """The names in a field of `NAMES` that a model reads: genres, or the first few of the others."""
    found = (name for name in map(normalise, movie.get(field) or ()) if name and name != NO_GENRE)
    return list(islice(found, FIRST.get(field)))


def number(movie: Mapping[str, Any], field: str) -> int | None:
    """The ``year`` of release or the ``runtime`` in minutes; None if it is unknown."""
    found = movie.get(field)
    return None if not found or found != found else int(found)  # NaN is how tables say that they do not know


def has(movie: Mapping[str, Any], field: str) -> bool:
    """Whether anything of ``field`` is known of the movie."""
    return bool(_phrase(movie, field))


def without(movie: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """The movie as somebody would ask for it who does not know these fields."""
    return {**movie, **dict.fromkeys(fields)}


def compose(movie: Mapping[str, Any], fields: Sequence[str]) -> str:
    """The text of one movie: each field that it has, in the order of ``fields``, as sentences.

    ``title`` and ``summary`` are strings, ``year`` and ``runtime`` integers, the fields of `NAMES` lists of strings;
    an absent or empty field leaves no trace.
    """
    phrases = (_phrase(movie, field) for field in fields)
    return " ".join(phrase if phrase[-1] in ".!?…" else f"{phrase}." for phrase in phrases if phrase)


def encode(tokenizer: "Tokenizer", movies: Sequence[Mapping[str, Any]], text: TextFormat) -> list[list[int]]:
    """Token ids of each movie, unpadded, special tokens included, at most ``text.max_length`` of them."""
    return tokenize(tokenizer, [compose(movie, text.fields) for movie in movies], text.max_length)


def tokenize(tokenizer: "Tokenizer", texts: list[str], max_length: int) -> list[list[int]]:
    """Token ids of each text that `compose` made, as `encode` returns them.

    What looks like a special token in a title or a summary ("[SEP]") is read as the letters it is made of.
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
