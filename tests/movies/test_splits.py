import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from movie_ratings.core import parquet, paths
from movie_ratings.core.command import exit_code
from movie_ratings.core.errors import UserError
from movie_ratings.core.rounding import rounded
from movie_ratings.movies import splits
from movie_ratings.movies.film import group_key, position, split_key, split_keys
from movie_ratings.movies.labels import CLASSES, Thresholds, class_indices, fit_thresholds
from movie_ratings.movies.record import MOVIE, OUTSIDE
from movie_ratings.movies.splits import NAMES
from movie_ratings.params import Labels
from stages import split
from tests.support.builders import ROOT, frame, learnable, movie

FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}
LABELS = Labels(scheme="mean_std", std=1.0, quantiles=[0.16, 0.84], fixed=[5.0, 7.0])


@pytest.fixture
def cleaned_folder(workspace: Path) -> Path:
    parquet.write_table("data/clean/movies.parquet", frame(*learnable(400)).to_arrow().cast(MOVIE))
    parquet.write_table(paths.OUTSIDE, OUTSIDE.empty_table())
    (workspace / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    return workspace


def test_thresholds_come_from_the_training_rows_alone(cleaned_folder: Path) -> None:
    assert exit_code(split.split) == 0
    ratings = splits.read("train")["rating"].to_numpy()
    expected = (ratings.mean() - ratings.std(), ratings.mean() + ratings.std())
    stored = json.loads(Path("data/split/thresholds.json").read_text())
    assert (stored["low"], stored["high"]) == pytest.approx(expected)
    metrics = json.loads(Path("metrics/details/split.json").read_text())
    assert metrics["thresholds"] == rounded(stored)
    assert metrics["groups_across_splits"] == 0
    assert sum(metrics["rows"].values()) == 400
    for name in NAMES:
        rows = pl.DataFrame(splits.read(name))
        assert len(rows) == metrics["rows"][name]
        labels = [CLASSES[i] for i in class_indices(rows["rating"].to_numpy(), Thresholds(**stored))]
        assert rows["label"].to_list() == labels


def test_two_runs_with_other_thread_counts_give_the_same_bytes(cleaned_folder: Path) -> None:
    found = []
    for threads in ("1", "4"):
        environment = os.environ | {"PYTHONPATH": str(ROOT), "POLARS_MAX_THREADS": threads, "OMP_NUM_THREADS": threads}
        done = subprocess.run([sys.executable, "-m", "stages.split"], cwd=cleaned_folder, env=environment, check=False)
        assert done.returncode == 0
        found.append(splits.origin())
    assert found[0] == found[1]


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=30))
def test_new_movies_move_no_old_one(numbers: list[int]) -> None:
    keys = [f"film{n}|2000" for n in numbers]
    places = np.array([position(key, split.SALT) for key in keys])
    assert splits.sides_of(places[:1], FRACTIONS) == splits.sides_of(places, FRACTIONS)[:1]


def test_the_same_film_never_stands_on_both_sides() -> None:
    places = np.array([position(group_key(title, None), split.SALT) for title in ("Up", "UP!", " úp")])
    assert len(set(splits.sides_of(places, FRACTIONS))) == 1


def test_the_films_of_a_collection_are_in_one_split(cleaned_folder: Path) -> None:
    movies = [m | {"collection": f"Saga {n // 4}" if n < 200 else None} for n, m in enumerate(learnable(400))]
    parquet.write_table("data/clean/movies.parquet", frame(*movies).to_arrow().cast(MOVIE))
    assert exit_code(split.split) == 0
    home: dict[str, set[str]] = {}
    for name in NAMES:
        for collection in pl.DataFrame(splits.read(name))["collection"].drop_nulls():
            home.setdefault(collection, set()).add(name)
    assert len(home) == 50
    assert all(len(names) == 1 for names in home.values())
    assert set.union(*home.values()) == set(NAMES)
    metrics = json.loads(Path("metrics/details/split.json").read_text())
    assert metrics["groups_across_splits"] == 0


def test_a_film_without_a_collection_is_split_by_its_title_and_year() -> None:
    assert split_key("Up", 2009, None) == split_key("Up", 2009, "") == group_key("Up", 2009)
    assert split_key("Up", 2009, "Saga Élan") == split_key("Down", 1999, "saga elan")
    # A film that is called as a collection is no part of it.
    assert split_key("Saga", None, None) != split_key("Up", 2009, "Saga")


@given(
    st.lists(
        st.tuples(st.text(max_size=9), st.none() | st.integers(1900, 2020), st.none() | st.text(max_size=9)), max_size=9
    )
)
def test_many_split_keys_are_those_of_each(films: list[tuple[str, int | None, str | None]]) -> None:
    titles, years, collections = zip(*films, strict=True) if films else ((), (), ())
    found = split_keys(
        pl.Series(titles, dtype=pl.String), pl.Series(years, dtype=pl.Int32), pl.Series(collections, dtype=pl.String)
    )
    assert found.to_list() == [split_key(*film) for film in films]


def test_the_sides_meet_at_the_fractions() -> None:
    places = np.array([0.0, 0.69, 0.7, 0.84, 0.85, 0.99])
    assert splits.sides_of(places, FRACTIONS).tolist() == [name for name in NAMES for _ in range(2)]


def test_a_few_movies_of_a_split_are_spread_evenly_over_it(
    cleaned_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert exit_code(split.split) == 0
    whole = splits.read("train")
    for rows in (parquet.BATCH, 7):
        monkeypatch.setattr(parquet, "BATCH", rows)
        assert splits.read("train").equals(whole)
        few = splits.read("train", 10)
        places = np.linspace(0, len(whole) - 1, 10).round().astype(int)
        assert few["id"].to_pylist() == whole["id"].take(places).to_pylist()


@pytest.mark.parametrize("count", [300, 401])
def test_a_split_of_other_movies_is_refused(cleaned_folder: Path, count: int) -> None:
    assert exit_code(split.split) == 0
    parquet.write_table(paths.CLEAN, frame(*learnable(count)).to_arrow().cast(MOVIE))
    with pytest.raises(UserError, match=r"splits\.parquet: of other movies than data/clean/movies\.parquet"):
        splits.read("train")


def test_labels_follow_the_order_of_the_classes() -> None:
    assert CLASSES == ("bad", "average", "good")
    assert class_indices(np.array([4.9, 5.0, 6.0, 7.0, 7.1]), Thresholds(5.0, 7.0)).tolist() == [0, 1, 1, 1, 2]


@pytest.mark.parametrize(("scheme", "expected"), [("quantile", (1.48, 7.72)), ("fixed", (5.0, 7.0))])
def test_other_schemes(scheme: str, expected: tuple[float, float]) -> None:
    found = fit_thresholds(np.arange(0.0, 9.25, 0.25), LABELS.model_copy(update={"scheme": scheme}))
    assert (found.low, found.high) == pytest.approx(expected, abs=0.2)


def test_a_class_without_rows_is_named(cleaned_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = [movie(n, vote_average=6.0 if n % 2 else 6.1) for n in range(60)]
    parquet.write_table("data/clean/movies.parquet", frame(*same).to_arrow().cast(MOVIE))
    assert exit_code(split.split) == 2
    assert capsys.readouterr().err.startswith("error: the train split has no movie labelled ")
    assert not Path(paths.SPLITS).exists()


def test_ratings_that_are_all_alike_are_refused() -> None:
    with pytest.raises(UserError, match="all training ratings are alike"):
        fit_thresholds(np.full(5, 6.0), LABELS)


def test_a_share_that_chance_hardly_gives_is_a_warning() -> None:
    sides = np.array(["train"] * 500 + ["validation"] * 250 + ["test"] * 250)
    labels = np.array((["bad"] * 10 + ["average"] * 40) * 20)
    metrics = splits.summary(pl.Series([str(n) for n in range(1000)]), sides, labels, Thresholds(5, 7), FRACTIONS)
    assert any(warning.startswith("train has 50.0% of the rows") for warning in metrics["warnings"])


@pytest.mark.parametrize(
    ("break_it", "complaint"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "not a readable Parquet file"),
        (lambda path: path.write_bytes(b""), "not a readable Parquet file"),
        (lambda path: pl.DataFrame({"id": [1]}).write_parquet(path), "column 'title' is missing"),
        (
            lambda path: pl.read_parquet(path).with_columns(pl.col("title").cast(pl.Categorical)).write_parquet(path),
            "column 'title' has type",
        ),
    ],
)
def test_a_broken_input_is_one_line_that_names_it(
    cleaned_folder: Path, capsys: pytest.CaptureFixture[str], break_it: object, complaint: str
) -> None:
    break_it(cleaned_folder / "data/clean/movies.parquet")  # type: ignore[operator]
    assert exit_code(split.split) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: data/clean/movies.parquet: ")
    assert complaint in message
    assert message.count("\n") == 1


def test_by_time_the_newest_years_are_the_test_split(cleaned_folder: Path) -> None:
    movies = [m | {"release_date": date(1950 + n % 60, 1, 1)} for n, m in enumerate(learnable(400))]
    parquet.write_table("data/clean/movies.parquet", frame(*movies).to_arrow().cast(MOVIE))
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("by: film", "by: time"))
    assert exit_code(split.split) == 0
    years = {name: pl.DataFrame(splits.read(name))["release_date"].dt.year().to_list() for name in NAMES}
    assert max(years["train"]) < min(years["validation"])
    assert max(years["validation"]) < min(years["test"])
    assert len(years["train"]) == pytest.approx(280, abs=10)
    assert sum(map(len, years.values())) == 400
