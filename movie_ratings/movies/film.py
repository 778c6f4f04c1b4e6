"""Which records are the same film, which films stay together in a split, and the hash that decides the split."""

import hashlib
import unicodedata
from typing import Final

import polars as pl

COLLECTION: Final = "collection:"  # in front of the key of a collection, which could be that of a film


def group_key(title: str, year: int | None) -> str:
    """A key that is equal for records of the same film: the normalised title and the year of release.

    Accents, case, punctuation and spaces make no difference: "Amélie" and "AMELIE!" are one title. A title with neither
    letters nor digits is kept as it is written.
    """
    decomposed = unicodedata.normalize("NFKD", title).casefold()
    # Casefolding can compose characters again ("ẖ"), hence the second decomposition.
    letters = "".join(
        c
        for c in unicodedata.normalize("NFKD", decomposed)
        # Letters, numbers, and the vowel signs of Indic scripts, which are marks that combine with nothing.
        if unicodedata.category(c)[0] in "LNM" and not unicodedata.combining(c)
    )
    return f"{letters or title.strip()}|{'' if year is None else year}"


def group_keys(titles: pl.Series, years: pl.Series) -> pl.Series:
    """`group_key` of many movies. Titles in ASCII, nearly all of them, are processed as a column."""
    letters = titles.str.to_lowercase().str.replace_all("[^a-z0-9]", "")
    keys = letters + "|" + years.cast(pl.String).fill_null("")
    others = (titles.str.contains(r"[^\x00-\x7F]") | (letters == "")).arg_true()
    pairs = zip(titles.gather(others), years.gather(others), strict=True)
    return keys.scatter(others, pl.Series([group_key(title, year) for title, year in pairs], dtype=pl.String))


def split_key(title: str, year: int | None, collection: str | None) -> str:
    """The key whose hash decides the split of a film: that of its collection, or else its `group_key`.

    The films of one collection share names, words and ratings: a model that has read one of them knows more of the
    others than of a new film.
    """
    return f"{COLLECTION}{group_key(collection, None)}" if collection else group_key(title, year)


def split_keys(titles: pl.Series, years: pl.Series, collections: pl.Series) -> pl.Series:
    """`split_key` of many movies."""
    known = (collections.is_not_null() & (collections != "")).fill_null(False).arg_true()
    of_collections = group_keys(collections.gather(known), pl.Series([None] * len(known), dtype=pl.Int32))
    return group_keys(titles, years).scatter(known, COLLECTION + of_collections)


def film_id(key: str) -> int:
    """A positive id, 63 bits, that depends on the film's `group_key` alone."""
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:8]) >> 1


def position(key: str, salt: str) -> float:
    """A hash of a key in [0, 1): uniform over keys, the same on every machine, independent between salts."""
    digest = hashlib.sha256(f"{salt}:{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) / 2**64
