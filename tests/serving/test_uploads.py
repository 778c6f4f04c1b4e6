"""A table that is uploaded comes back in its own format."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from movie_ratings.core.errors import UserError
from movie_ratings.prediction.classifier import Classifier
from movie_ratings.prediction.movie_table import MovieTable
from movie_ratings.prediction.writer import FORMATS, Writer
from serving.service import Service
from serving.uploads import SUFFIXES, Rated, predict_upload, result_suffix

MOVIES: list[dict[str, Any]] = [
    {"title": "Harbour, 1994", "summary": "A pilot leaves home.", "genres": ["Drama", "War"], "runtime": 142},
    {"title": "Winter", "summary": "A radiant vision.", "genres": ["Crime"], "runtime": 95},
]


def rated(model: Path, source: Path) -> Rated:
    async def upload() -> Rated:
        service = Service(Classifier.load(model, threads=1))
        try:
            return await predict_upload(service, source)
        finally:
            service.close()

    return asyncio.run(upload())


def movies_of(path: Path) -> list[Any]:
    return [movie for batch in MovieTable(path).batches(100) for movie in batch.movies]


def test_the_page_takes_what_the_reader_takes_and_gives_back_the_nearest_format() -> None:
    assert set(FORMATS) < set(SUFFIXES)
    assert {result_suffix(suffix) for suffix in SUFFIXES} == set(FORMATS)
    assert result_suffix(".XLS") == ".xlsx"


@pytest.mark.parametrize("suffix", [*FORMATS, ".XLSX"])
def test_the_result_has_the_format_of_the_upload(served_model: Path, tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"my films{suffix}"
    with Writer(source) as writer:
        writer.write(MOVIES)
    found = rated(served_model, source)
    assert found.path == tmp_path / f"rated-my films{suffix.lower()}"
    assert movies_of(found.path) == movies_of(source)
    labels = [row["label"] for batch in MovieTable(found.path).batches(100) for row in batch.rows]
    assert labels == [prediction.label for prediction in Classifier.load(served_model).predict(MOVIES)]
    assert [row["label"] for row in found.first] == labels[:10]


def test_json_in_any_form_comes_back_as_an_array(served_model: Path, tmp_path: Path) -> None:
    source = tmp_path / "page.json"
    source.write_text(json.dumps({"page": 1, "results": MOVIES}))
    found = json.loads(rated(served_model, source).path.read_text())
    assert [row["genres"] for row in found] == [movie["genres"] for movie in MOVIES]
    assert {row["label"] for row in found} <= {"bad", "average", "good"}


def test_a_table_of_another_format_is_refused(served_model: Path, tmp_path: Path) -> None:
    source = tmp_path / "a.doc"
    source.write_text("title\nA\n")
    with pytest.raises(UserError, match=r"^a\.doc: expected a name that ends in \.csv"):
        rated(served_model, source)
