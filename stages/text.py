"""A movie as the text that the model reads: the only place that knows the format.

Training and serving both call `compose` and `encode`, so what is served is what was trained on. A checkpoint stores
`FORMAT` with the fields it was trained with; one of another format is refused rather than misread.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Raise it with every change to what `compose` or `encode` return.
FORMAT: Final = 1

FIELDS: Final = ("title", "genres", "summary")
NO_GENRE: Final = "NonGiven"


@dataclass(frozen=True)
class TextFormat:
    """What a checkpoint needs to know about its input: the fields in their order, and where text is cut."""

    fields: tuple[str, ...]
    max_length: int  # tokens, special ones included


def normalise(text: str) -> str:
    """One space for each run of whitespace, none at the ends; NUL dropped, lone surrogates become U+FFFD."""
    return " ".join(text.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace").split())


def compose(movie: Mapping[str, Any], fields: Sequence[str]) -> str:
    """The text of one movie: each field that it has, in the order of ``fields``, as sentences.

    ``title`` and ``summary`` are strings, ``genres`` a list of strings; an absent or empty field leaves no trace.
    """
    parts = (_genres(movie.get("genres")) if f == "genres" else normalise(movie.get(f) or "") for f in fields)
    return " ".join(part if part[-1] in ".!?…" else f"{part}." for part in parts if part)


def encode(tokenizer: "Tokenizer", movies: Sequence[Mapping[str, Any]], text: TextFormat) -> list[list[int]]:
    """Token ids of each movie, unpadded, special tokens included, at most ``text.max_length`` of them.

    What looks like a special token in a title or a summary ("[SEP]") is read as the letters it is made of.
    """
    tokenizer.no_padding()
    tokenizer.enable_truncation(text.max_length)
    tokenizer.encode_special_tokens = True
    return [found.ids for found in tokenizer.encode_batch_fast([compose(movie, text.fields) for movie in movies])]


def _genres(genres: Sequence[str] | None) -> str:
    return ", ".join(g for g in map(normalise, genres or ()) if g and g != NO_GENRE)
