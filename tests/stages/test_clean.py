"""The stage clean on the command line: what it says when no movie is left."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from movie_ratings.core import parquet
from movie_ratings.core.command import exit_code
from movie_ratings.core.paths import CLEAN_DETAILS, RAW
from movie_ratings.movies.record import MOVIE
from stages.clean import clean
from tests.support.builders import ROOT, frame, movie


@pytest.fixture(autouse=True)
def parameters(workspace: Path) -> None:
    """The parameters of the repository."""
    shutil.copy(ROOT / "params.yaml", workspace)


@pytest.mark.parametrize(
    ("movies", "reason"),
    [
        ([], f"{RAW} has no movies"),
        (
            [movie(1, vote_count=None), movie(2, vote_count=None), movie(3, title=None)],
            "kept 0 of 3 movies: 1 no_title, 2 few_votes",
        ),
    ],
)
def test_a_table_of_which_nothing_is_kept_is_one_line(
    movies: list[dict[str, Any]], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parquet.write_table(RAW, frame(*movies).to_arrow().cast(MOVIE))
    assert exit_code(clean) == 2
    assert capsys.readouterr().err == f"error: clean: {reason}\n"
    assert not Path(CLEAN_DETAILS).exists()


def test_a_table_without_counts_of_votes_is_pointed_to_the_parameter(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parquet.write_table(RAW, frame(movie(1, vote_count=None), movie(2, vote_count=None)).to_arrow().cast(MOVIE))
    assert exit_code(clean) == 2
    assert capsys.readouterr().err.endswith("the table has no counts of votes: -S clean.min_votes=0\n")
