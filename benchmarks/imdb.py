"""Joining invented tables of IMDb's shape with fetch.source imdb, beside a Polars query of the same tables.

Writes benchmarks/results/imdb.json: seconds and peak memory of both, each in a process of its own. Ours ends with the
movie records in a Parquet file, as the stage does; the query with titles, ratings, casts and directors in one.
"""

import argparse
import gzip
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from tqdm import tqdm

from benchmarks import _results
from benchmarks._memory import peak_megabytes
from movie_ratings import params
from movie_ratings.core import parquet
from movie_ratings.core.command import exit_code
from movie_ratings.movies.record import MOVIE
from movie_ratings.sources import selected
from movie_ratings.sources.fetch_report import FetchReport

OUTPUT: Final = str(_results.path("imdb"))
ROWS: Final = 1_000_000  # titles
PEOPLE: Final = 1.2  # for each title
PART: Final = 250_000  # titles that are written at a time
# The types of IMDb's titles, by share; half of the films have a rating.
TYPES: Final = {"tvEpisode": 0.765, "short": 0.09, "movie": 0.065, "video": 0.03, "tvSeries": 0.03, "tvMovie": 0.02}
GENRES: Final = ("Drama", "Comedy", "Drama,Romance", "Crime,Drama,Thriller", "Documentary", "Horror", "\\N")
# The people of a title in title.principals, in their order.
ROLES: Final = ("actor", "actress", "actor", "actress", "director", "writer", "producer", "composer")
WORDS: Final = np.array(
    ["Harbour", "Night", "Sister", "Engine", "Winter", "Letter", "Garden", "River", "Île", '"Train"']
)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.imdb", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=ROWS, help="titles to invent (default: %(default)s)")
    parser.add_argument("--films", type=float, default=TYPES["movie"], help="share of films (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = write(Path(folder), options.rows, options.films)
        found = {
            "cores": os.cpu_count(),
            "rows": rows,
            "megabytes": sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6,
            "ours": measured(joined, folder),
            "query": measured(queried, folder),
        }
    _results.write("imdb", found)
    print(json.dumps(found, indent=2))


def write(folder: Path, titles: int, films: float) -> dict[str, int]:
    """Write the five tables; return the rows of each. A share of ``films`` of the ``titles`` are films."""
    random = np.random.default_rng(0)
    others = {kind: share for kind, share in TYPES.items() if kind != "movie"}
    shares = np.array([films, *((1 - films) * share / sum(others.values()) for share in others.values())])
    people = int(titles * PEOPLE)
    rows: dict[str, int] = {}
    for first in tqdm(range(1, titles + 1, PART), desc="writing tables"):
        numbers = np.arange(first, min(first + PART, titles + 1))
        last = first + PART > titles
        parts = _titles(numbers, random, shares / shares.sum(), list(others), people)
        parts["name.basics"] = _people(
            np.arange(int(first * PEOPLE), people + 1 if last else int(numbers[-1] * PEOPLE))
        )
        for name, part in parts.items():
            rows[name] = rows.get(name, 0) + len(part)
            # A file in gzip may have several members, one after another.
            with gzip.open(folder / f"{name}.tsv.gz", "ab", compresslevel=1) as file:
                text = part.write_csv(separator="\t", quote_style="never", include_header=first == 1)
                file.write(text.encode())
    return rows


def _titles(numbers: Any, random: Any, shares: Any, others: list[str], people: int) -> dict[str, pl.DataFrame]:
    count = len(numbers)
    ids = pl.Series("tconst", numbers).cast(pl.String).str.zfill(7)
    ids = "tt" + ids
    words = pl.Series(random.choice(WORDS, count))
    title = "The " + words + " of " + pl.Series(numbers).cast(pl.String)
    kinds = pl.Series(random.choice(["movie", *others], count, p=shares))
    basics = pl.DataFrame(
        {
            "tconst": ids,
            "titleType": kinds,
            "primaryTitle": title,
            "originalTitle": title,
            "isAdult": pl.Series((random.random(count) < 0.02).astype(np.int8)),
            "startYear": pl.Series(random.integers(1920, 2027, count)),
            "endYear": pl.repeat("\\N", count, eager=True),
            "runtimeMinutes": pl.Series(random.integers(5, 200, count)),
            "genres": pl.Series(random.choice(GENRES, count)),
        }
    )
    rated = random.random(count) < 0.5
    ratings = pl.DataFrame(
        {
            "tconst": ids.filter(rated),
            "averageRating": random.integers(10, 101, rated.sum()) / 10,
            "numVotes": random.integers(5, 5_000, rated.sum()),
        }
    )
    crew = pl.DataFrame(
        {
            "tconst": ids,
            "directors": _persons(count, random, people),
            "writers": _persons(count, random, people) + "," + _persons(count, random, people),
        }
    )
    each = len(ROLES)
    principals = pl.DataFrame(
        {
            "tconst": ids.gather(np.repeat(np.arange(count), each)),
            "ordering": np.tile(np.arange(1, each + 1), count),
            "nconst": _persons(count * each, random, people),
            "category": pl.Series(np.tile(np.array(ROLES), count)),
            "job": pl.repeat("\\N", count * each, eager=True),
            "characters": pl.repeat('["A \\"Part\\""]', count * each, eager=True),
        }
    )
    return {"title.basics": basics, "title.ratings": ratings, "title.crew": crew, "title.principals": principals}


def _persons(count: int, random: Any, people: int) -> pl.Series:
    return "nm" + pl.Series(random.integers(1, people, count)).cast(pl.String).str.zfill(7)


def _people(numbers: Any) -> pl.DataFrame:
    ids = pl.Series(numbers).cast(pl.String)
    return pl.DataFrame(
        {
            "nconst": "nm" + ids.str.zfill(7),
            "primaryName": "Someone Number " + ids,
            "birthYear": pl.repeat("\\N", len(ids), eager=True),
            "deathYear": pl.repeat("\\N", len(ids), eager=True),
            "primaryProfession": pl.repeat("actor,producer,soundtrack", len(ids), eager=True),
            "knownForTitles": pl.repeat("tt0000001,tt0000002,tt0000003,tt0000004", len(ids), eager=True),
        }
    )


def measured(task: Callable[[str], int], folder: str) -> dict[str, float]:
    """Movies, seconds and peak megabytes of a task in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (task, folder))


def joined(folder: str) -> int:
    """What the stage does."""
    fetch = params.load().fetch
    imdb = fetch.imdb.model_copy(update={"folder": folder})
    report = FetchReport()
    movies = selected.batches(fetch.model_copy(update={"source": "imdb", "imdb": imdb}), report)
    return parquet.write_batches(Path(folder, "ours.parquet"), movies, MOVIE)


def queried(folder: str) -> int:
    """A query as one writes it by hand, with Polars' streaming engine: no checks, no summaries."""
    names, basics, ratings, crew, principals = (
        pl.scan_csv(f"{folder}/{name}.tsv.gz", separator="\t", quote_char=None, null_values="\\N", infer_schema=False)
        for name in ("name.basics", "title.basics", "title.ratings", "title.crew", "title.principals")
    )
    films = basics.filter(pl.col("titleType") == "movie", pl.col("isAdult") == "0").join(ratings, on="tconst")
    named = names.select("nconst", "primaryName")
    cast = principals.filter(pl.col("category").is_in(["actor", "actress", "self"])).join(
        films, on="tconst", how="semi"
    )
    directors = crew.join(films, on="tconst", how="semi").select("tconst", nconst=pl.col("directors").str.split(","))
    for people, field in ((cast.sort("tconst", "ordering"), "cast"), (directors.explode("nconst"), "directors")):
        lists = people.join(named, on="nconst").group_by("tconst").agg(pl.col("primaryName").head(10).alias(field))
        films = films.join(lists, on="tconst", how="left")
    found = films.collect(engine="streaming")
    found.write_parquet(f"{folder}/query.parquet")
    return len(found)


def _measure(task: Callable[[str], int], folder: str) -> dict[str, float]:
    start = time.monotonic()
    movies = task(folder)
    return {"movies": movies, "seconds": time.monotonic() - start, "peak_megabytes": peak_megabytes()}


if __name__ == "__main__":
    sys.exit(exit_code(main))
