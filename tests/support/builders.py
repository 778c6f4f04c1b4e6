"""Movies, tables and parameters that tests build for themselves: no network, no real plot, and no torch."""

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from ruamel.yaml import YAML

from movie_ratings import params
from movie_ratings.core import parquet
from movie_ratings.movies.cleaning import clean_table
from movie_ratings.movies.record import LABELLED, MOVIE
from movie_ratings.params import Clean

# The folder of the repository.
ROOT = Path(__file__).parents[2]

MOODS = {"bad": "dull stale lazy noise", "average": "plain tidy story", "good": "radiant tender masterful vision"}


def movie(number: int, **fields: Any) -> dict[str, Any]:
    """An invented movie record."""
    return {
        "id": number,
        "source": "test",
        "title": f"Film {number}",
        "summary": f"Story number {number}.",
        "genres": ["Drama"],
        "vote_average": 6.0,
        "vote_count": 100,
    } | fields


def learnable(count: int) -> list[dict[str, Any]]:
    """Movies whose rating can be read off their summary."""
    kinds = [("bad", 3.0), ("average", 6.0), ("average", 6.2), ("average", 5.8), ("good", 9.0)]
    return [
        movie(n, summary=f"A {MOODS[kind]} of day {n}.", vote_average=rating + n % 7 / 100, runtime=90 + n % 3)
        for n, (kind, rating) in ((n, kinds[n % len(kinds)]) for n in range(count))
    ]


def frame(*movies: dict[str, Any]) -> pl.DataFrame:
    """Movie records as clean reads them."""
    return pl.DataFrame(pa.Table.from_pylist(list(movies), MOVIE))


def labelled(movies: list[dict[str, Any]]) -> pa.Table:
    """Movies as the split stage writes them, every class in turn."""
    rows = [found | {"rating": found["vote_average"], "label": list(MOODS)[n % 3]} for n, found in enumerate(movies)]
    return pa.Table.from_pylist(rows, LABELLED)


def cleaned(movies: pl.DataFrame, options: Clean) -> tuple[pl.DataFrame, dict[str, Any]]:
    """What ``clean_table`` keeps of the movies, and its counts. No scratch file is left behind."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = (Path(folder, f"{name}.parquet") for name in ("raw", "clean"))
        parquet.write_table(source, movies.to_arrow().cast(MOVIE))
        counts = clean_table(source, target, options.min_votes)
        assert sorted(path.name for path in Path(folder).iterdir()) == ["clean.parquet", "raw.parquet"]
        return pl.read_parquet(target), counts


# A movie of which every field is known that a model may read.
EVERYTHING: dict[str, Any] = {
    "title": "The Long Harbour", "genres": ["Drama"], "year": 1994, "runtime": 142, "spoken_languages": ["English"],
    "directors": ["Ada Example"], "cast": ["Bo One"], "writers": ["Di Three"], "producers": ["Fe Five"],
    "cinematographers": ["Gi Six"], "editors": ["Hu Seven"], "composers": ["Ix Eight"], "companies": ["Quay Films"],
    "countries": ["France", "Italy"], "collection": "Harbour Collection", "keywords": ["ice"], "budget": 2_500_000,
    "summary": "A radiant vision.",
}  # fmt: skip


def reading(folder: Path, *fields: str) -> Path:
    """The served folder, whose model reads these fields from now on."""
    path = folder / "movie_ratings.json"
    metadata = json.loads(path.read_text())
    metadata["text"]["fields"], metadata["names"] = fields, []
    path.write_text(json.dumps(metadata))
    return folder


def read_params() -> dict[str, Any]:
    """params.yaml of the repository, as dictionaries."""
    found: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
    return found


def write_params(raw: dict[str, Any]) -> None:
    """Write parameters to the params.yaml of the working directory."""
    with Path("params.yaml").open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(raw, file)


def tiny_options(raw: dict[str, Any], tiny_model: Path, **changes: Any) -> params.Params:
    """The parameters ``raw`` with a tiny model, and with changes like train__epochs=2."""
    raw["model"]["name"] = str(tiny_model)
    raw["train"] |= {"freeze_layers": 0, "learning_rate": 0.003, "batch_size": 8, "epochs": 1}
    raw["text"]["max_length"] = 32
    for key, value in changes.items():
        group, name = key.split("__")
        raw[group][name] = value
    return params.parse(raw)


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond ``size`` bytes, as a full disk would."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def last_line(code: str) -> str:
    """What ``code`` prints last in a fresh interpreter: what it imports is not what the tests have imported."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]
