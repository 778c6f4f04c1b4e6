"""Invented movies, as many as you like, to size a machine with: python -m benchmarks.generate 1000000 FILE.parquet

Made-up words in plots as long as real ones; some films twice, with another id or in another spelling, anywhere in the
table; missing values; ratings out of range; rows that nothing can be learnt from. Ratings follow from genres and words,
so that a model has something to find. Row N is the same for the same seed however many rows there are. Read it with
fetch.source=files, or write it to data/raw/movies.parquet in the place of fetch.
"""

import argparse
import hashlib
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from movie_ratings.core import parquet
from movie_ratings.core.command import exit_code
from movie_ratings.movies.record import MOVIE

BLOCK: Final = 16_384  # rows at a time
AGAIN: Final = 0.03  # of the rows: a film that stands further up, half of them under its old id

GENRES: Final = (
    "Drama", "Comedy", "Documentary", "Thriller", "Romance", "Action", "Horror", "Crime", "Adventure", "Family",
    "Music", "Fantasy", "Mystery", "Science Fiction", "Animation", "History", "War", "Western", "TV Movie",
)  # fmt: skip
LANGUAGES: Final = ("English", "Français", "Español", "Deutsch", "日本語", "हिन्दी", "Italiano", "Русский", "Português")
CODES: Final = ("en", "fr", "es", "de", "ja", "hi", "it", "ru", "pt")
COUNTRIES: Final = ("United States of America", "France", "Spain", "Germany", "Japan", "India", "Italy", "Brazil")
ONSETS: Final = ("b", "br", "d", "dr", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "st", "t", "tr", "v", "w", "z")
VOWELS: Final = ("a", "e", "i", "o", "u", "ai", "ea", "ou")
WORDS: Final = 30_000
PEOPLE: Final = 60_000

Numbers = npt.NDArray[np.uint64]
Shares = npt.NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.generate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", type=int)
    parser.add_argument("file", help="a Parquet file, made anew")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    parquet.write_batches(arguments.file, _shown(generate(arguments.rows, arguments.seed), arguments.rows), MOVIE)


def _shown(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    with tqdm(total=rows, desc="generate", unit=" movies", unit_scale=True) as progress:
        for batch in batches:
            yield batch
            progress.update(len(batch))


def generate(rows: int, seed: int) -> Iterator[pa.RecordBatch]:
    """Record batches of the schema `MOVIE`, ``rows`` rows in all."""
    words = pa.array(_words(WORDS, 0))
    people = pa.array([f"{a.title()} {b.title()}" for a, b in zip(_words(PEOPLE, 1), _words(PEOPLE, 2), strict=True)])
    for first in range(0, rows, BLOCK):
        row = np.arange(first, min(first + BLOCK, rows), dtype=np.uint64)
        yield pa.RecordBatch.from_pydict(_columns(row, seed, words, people), MOVIE)


def _columns(row: Numbers, seed: int, words: pa.StringArray, people: pa.StringArray) -> dict[str, Any]:
    """The columns of some rows. What belongs to the film is drawn by its number, what belongs to the record by row."""

    def of_row(salt: str) -> Shares:
        return _drawn(row, f"{seed} {salt}")

    again = (of_row("again") < AGAIN) & (row > 0)
    film = np.where(again, (of_row("which") * row).astype(np.uint64), row)

    def of_film(salt: str) -> Shares:
        return _drawn(film, f"{seed} {salt}")

    lengths = 1 + (4 * of_film("title length")).astype(np.int64)
    chosen = (WORDS * _drawn(_places(film, lengths), f"{seed} title")).astype(np.int64)
    titles = pc.utf8_title(_texts(words, chosen, lengths))
    shouted = pc.binary_join_element_wise(pc.utf8_upper(titles), "!", "")
    titles = pc.if_else(again & (of_row("spelling") < 0.5), shouted, titles)

    lengths = np.clip(np.exp(0.6 * _normal(film, f"{seed} length") + 3.8), 3, 250).astype(np.int64)
    # How often a word is used goes down with its rank as it does in languages (Zipf).
    chosen = (WORDS ** _drawn(_places(film, lengths), f"{seed} summary")).astype(np.int64) - 1
    summaries = _texts(words, chosen, lengths)
    summaries = pc.if_else(of_row("space") < 0.01, pc.binary_join_element_wise(summaries, "\n\t\0 end ", ""), summaries)
    mood = np.add.reduceat(_normal(chosen.astype(np.uint64), f"{seed} mood"), np.cumsum(lengths) - lengths) / lengths

    counts = np.where(of_film("no genre") < 0.03, 0, 1 + 3 * of_film("genres")).astype(np.int64)
    genre = (len(GENRES) * _drawn(_places(film, counts), f"{seed} genre") ** 2).astype(np.int64)
    leaning = np.linspace(0.4, -0.6, len(GENRES))
    tilt = np.zeros(len(row))
    np.add.at(tilt, np.repeat(np.arange(len(row)), counts), leaning[genre])

    rating = np.round(np.clip(6.2 + 3 * mood + tilt + 0.8 * _normal(film, f"{seed} taste"), 0.5, 10), 1)
    odd = of_row("odd")
    rating = np.select([odd < 0.02, odd < 0.022, odd < 0.024], [0.0, np.nan, 11.0], rating)
    votes = np.exp(_normal(row, f"{seed} votes") * 2 + 4).astype(np.int64)
    language = (len(LANGUAGES) * of_film("language") ** 4).astype(np.int64)
    day = (of_film("day") ** 0.4 * 36_000).astype(np.int32) - 18_000
    ids = np.where(again & (of_row("id") < 0.5), film, row).astype(np.int64) + 1

    def names(salt: str, most: int, values: pa.Array = people) -> pa.Array:
        many = 1 + (most * of_film(f"{salt} count")).astype(np.int64)
        chosen = (len(values) * _drawn(_places(film, many), f"{seed} {salt}")).astype(np.int64)
        return _lists(values.take(pa.array(chosen)), many)

    def known(column: Any, missing: float, salt: str) -> pa.Array:
        return pc.if_else(of_row(f"no {salt}") >= missing, column, None)

    one = np.ones(len(row), dtype=np.int64)
    # One film in five belongs to a collection; the more films there are, the more belong to one.
    collections = pc.utf8_title(words.take(pa.array((WORDS * of_film("collection")).astype(np.int64))))
    companies = pc.binary_join_element_wise(pc.utf8_title(words.slice(0, 5_000)), "Films", " ")
    budgets = np.exp(2 * _normal(film, f"{seed} budget") + 16).clip(1_000, 10**9).astype(np.int64)
    return {
        "id": ids,
        "source": pa.array(["invented"] * len(row)),
        "title": pc.if_else(of_row("blank") < 0.001, "  ", known(titles, 0.001, "title")),
        "original_title": known(titles, 0.3, "original title"),
        "summary": known(summaries, 0.05, "summary"),
        "genres": known(_lists(pa.array(GENRES).take(pa.array(genre)), counts), 0.03, "genres"),
        "spoken_languages": known(_lists(pa.array(LANGUAGES).take(pa.array(language)), one), 0.05, "languages"),
        "original_language": known(pa.array(CODES).take(pa.array(language)), 0.01, "language"),
        "cast": known(names("cast", 10), 0.08, "cast"),
        "directors": known(names("directors", 2), 0.05, "directors"),
        "writers": known(names("writers", 3), 0.1, "writers"),
        "producers": known(names("producers", 4), 0.3, "producers"),
        "cinematographers": known(names("cinematographers", 1), 0.3, "cinematographers"),
        "editors": known(names("editors", 2), 0.3, "editors"),
        "composers": known(names("composers", 1), 0.3, "composers"),
        "companies": known(names("companies", 4, companies), 0.2, "companies"),
        "countries": known(names("countries", 2, pa.array(COUNTRIES)), 0.1, "countries"),
        "collection": pc.if_else(of_film("no collection") >= 0.8, collections, None),
        "keywords": known(names("keywords", 8, words.slice(0, 5_000)), 0.3, "keywords"),
        "release_date": known(pa.array(day).cast(pa.date32()), 0.03, "date"),
        "runtime": known((60 + 90 * of_film("runtime")).astype(np.int32), 0.08, "runtime"),
        "budget": known(budgets, 0.6, "budget"),
        "vote_average": rating,
        "vote_count": votes,
        "popularity": of_row("popularity") * 100,
        "adult": np.zeros(len(row), dtype=bool),
    }


@cache
def _words(count: int, salt: int) -> tuple[str, ...]:
    """Different words of two to four syllables; the more frequent a word, the shorter."""
    generator = np.random.default_rng([count, salt])
    found: dict[str, None] = {}
    while len(found) < count:
        syllables = 1 + len(found) // (count // 3 + 1) + int(generator.integers(1, 3))
        onsets, vowels = (generator.integers(len(part), size=syllables) for part in (ONSETS, VOWELS))
        found["".join(ONSETS[o] + VOWELS[v] for o, v in zip(onsets, vowels, strict=True))] = None
    return tuple(found)


def _texts(words: pa.StringArray, chosen: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> pa.StringArray:
    """Texts of these lengths in words, out of the words that were chosen for all of them."""
    return pc.binary_join(_lists(words.take(pa.array(chosen)), lengths), " ")


def _lists(values: pa.Array, lengths: npt.NDArray[np.int64]) -> pa.ListArray:
    """``values``, one after another, cut into lists of these lengths."""
    return pa.ListArray.from_arrays(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32), values)


def _places(number: Numbers, lengths: npt.NDArray[np.int64]) -> Numbers:
    """A number of its own for each of the ``lengths`` places of each ``number``."""
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.repeat(number, lengths) * np.uint64(1_024) + (np.arange(len(starts)) - starts).astype(np.uint64)


def _normal(number: Numbers, salt: str) -> Shares:
    """Standard normal deviates of numbers (Box and Muller, 1958)."""
    radius = np.sqrt(-2 * np.log1p(-_drawn(number, f"{salt} radius")))
    found: Shares = radius * np.cos(2 * np.pi * _drawn(number, f"{salt} angle"))
    return found


def _drawn(number: Numbers, salt: str) -> Shares:
    """A share in [0, 1) for each number, by its hash (SplitMix64; Steele, Lea and Flood, OOPSLA 2014)."""
    start = np.uint64(int.from_bytes(hashlib.sha256(salt.encode()).digest()[:8]))
    with np.errstate(over="ignore"):
        mixed = (number + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + start
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) / 2**53


if __name__ == "__main__":
    sys.exit(exit_code(main))
