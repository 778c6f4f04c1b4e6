"""The history stage: rated films of other tables that are no movies of the pipeline."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from movie_ratings.core import parquet, paths
from movie_ratings.core.command import exit_code
from movie_ratings.movies.record import MOVIE
from stages import history
from tests.support.builders import frame, movie, read_params, write_params


@pytest.fixture
def cleaned_folder(workspace: Path) -> Path:
    """Two movies: a real one that the wikidata table has too, and an invented one."""
    known = movie(1, title="The Shawshank Redemption", release_date=date(1994, 9, 23))
    invented = movie(2, title="Only here", release_date=date(2000, 1, 1))
    parquet.write_table(paths.CLEAN, frame(known, invented).to_arrow().cast(MOVIE))
    return workspace


def run(**changes: Any) -> int:
    raw = read_params()
    raw["history"] |= changes
    write_params(raw)
    return exit_code(history.history)


def test_beside_the_sample_source_it_reads_the_critics_ratings(cleaned_folder: Path) -> None:
    assert run() == 0
    films = pl.read_parquet(paths.OUTSIDE)
    counts = json.loads(Path(paths.HISTORY_DETAILS).read_text())
    assert counts["films"] == len(films) > 10_000
    assert counts["sources"]["wikidata"]["kept"] == len(films)
    assert films["year"].null_count() == 0
    assert films["rating"].is_between(0, 10).all()
    assert films["directors"].list.len().max() > 0  # type: ignore[operator]
    assert "The Shawshank Redemption" not in films["title"]
    written = Path(paths.OUTSIDE).read_bytes()
    assert run() == 0
    assert Path(paths.OUTSIDE).read_bytes() == written


def test_it_reads_tables_of_the_users_own(cleaned_folder: Path) -> None:
    Path("rated.csv").write_text(
        "title,year,director,writer,rating,votes,overview\n"
        "Here too,1999,Ada Example,Bo Example,80,900,A plot.\n"
        "Only here,2001,Ada Example,,10,900,The movie itself.\n"
        "Few votes,1998,Ada Example,,90,2,A plot.\n"
        "Undated,,Ada Example,,90,900,A plot.\n"
    )
    table = read_params()["history"]["files"] | {"paths": ["rated.csv"], "rating_scale": 100.0}
    assert run(sources=["files"], files=table) == 0
    (film,) = pl.read_parquet(paths.OUTSIDE).to_dicts()
    assert (film["title"], film["year"], film["rating"]) == ("Here too", 1999, 8.0)
    assert (film["directors"], film["writers"]) == (["Ada Example"], ["Bo Example"])


def test_without_sources_it_writes_a_table_without_films(cleaned_folder: Path) -> None:
    assert run(sources=[]) == 0
    assert pl.read_parquet(paths.OUTSIDE).is_empty()


def test_a_source_that_needs_a_file_names_the_parameter(
    cleaned_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(sources=["files"]) == 2
    assert "history.files.paths must name at least one file" in capsys.readouterr().err
