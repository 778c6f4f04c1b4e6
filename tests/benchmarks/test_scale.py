"""The benchmarks of scale: the script that clean and split are compared with, and the stages that are measured."""

from pathlib import Path

import polars as pl
from ruamel.yaml import YAML

from benchmarks import _by_hand
from benchmarks._clone import ROOT, STAGES, Clone
from benchmarks.generate import generate
from benchmarks.scale import answerable
from movie_ratings.core import parquet
from movie_ratings.movies.cleaning import clean_table
from movie_ratings.movies.record import MOVIE
from movie_ratings.movies.splits import NAMES


def test_the_script_by_hand_keeps_the_same_movies(workspace: Path) -> None:
    parquet.write_batches("raw.parquet", generate(5_000, 0), MOVIE)
    clean_table("raw.parquet", "ours.parquet", 10)
    _by_hand.main("raw.parquet", ".")
    theirs = pl.read_parquet("clean.parquet")
    assert pl.read_parquet("ours.parquet").equals(theirs)
    splits = pl.read_parquet("splits.parquet")
    assert splits["id"].equals(theirs["id"])
    assert {name for (name,), part in splits.group_by("split") if part["label"].n_unique() == 3} == set(NAMES)


def test_movies_to_answer_are_as_many_as_asked_and_none_is_without_a_plot() -> None:
    batches = list(answerable(20_000))
    assert sum(map(len, batches)) == 20_000
    assert all(batch["summary"].null_count == 0 for batch in batches)


def test_the_disk_counts_a_file_once_that_is_in_the_cache_too(tmp_path: Path) -> None:
    clone = Clone.__new__(Clone)
    clone.folder = tmp_path
    (tmp_path / "data").mkdir()
    (tmp_path / ".dvc/cache").mkdir(parents=True)
    (tmp_path / "data/a").write_bytes(b"x" * 1_000_000)
    (tmp_path / ".dvc/cache/a").hardlink_to(tmp_path / "data/a")
    (tmp_path / ".dvc/cache/b").write_bytes(b"x" * 500_000)
    assert clone.disk() == 1.5


def test_every_stage_of_the_pipeline_is_measured() -> None:
    pipeline = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    assert set(STAGES) == set(pipeline)
