"""The script that clean and split are compared with does what they do."""

from pathlib import Path

import polars as pl

from benchmarks import _by_hand
from benchmarks.generate import generate
from stages import clean, parquet
from stages.labelled import SPLITS
from stages.params import Clean
from stages.schema import MOVIE


def test_the_script_by_hand_keeps_the_same_movies(workspace: Path) -> None:
    parquet.write_batches("raw.parquet", generate(5_000, 0), MOVIE)
    clean.clean_table("raw.parquet", "ours.parquet", Clean(min_votes=10))
    _by_hand.main("raw.parquet", ".")
    theirs = pl.read_parquet("clean.parquet")
    assert pl.read_parquet("ours.parquet").equals(theirs)
    splits = pl.read_parquet("splits.parquet")
    assert splits["id"].equals(theirs["id"])
    assert {name for (name,), part in splits.group_by("split") if part["label"].n_unique() == 3} == set(SPLITS)
