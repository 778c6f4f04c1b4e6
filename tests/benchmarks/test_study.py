"""The study on invented movies: every movie is answered once, by a model that never saw it; and it can be resumed."""

from collections.abc import Callable
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import _folds, _trainings, study
from benchmarks._folds import by_film, by_time, smaller
from movie_ratings.core import parquet, paths
from movie_ratings.movies.record import MOVIE, OUTSIDE
from movie_ratings.params import Params
from tests.support.builders import frame, learnable


@pytest.fixture
def movies(workspace: Path) -> list[dict[str, Any]]:
    """150 cleaned movies of thirty years."""
    found = [
        m | {"release_date": date(1980 + n % 30, 1, 1), "year": 1980 + n % 30, "runtime": 90 + n % 40}
        for n, m in enumerate(learnable(150))
    ]
    parquet.write_table("data/clean/movies.parquet", frame(*found).to_arrow().cast(MOVIE))
    parquet.write_table(paths.OUTSIDE, OUTSIDE.empty_table())
    return found


@pytest.fixture
def small(options: Callable[..., Params]) -> Params:
    return options(train__soft_labels=0.0, evaluate__bootstrap=100, baseline__models=["majority", "tfidf_ridge"])


def test_no_film_is_answered_by_a_model_that_saw_it(movies: list[dict[str, Any]], small: Params) -> None:
    folds = by_film(movies, small)
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(150))
    for fold in folds:
        assert sorted([*fold.train, *fold.validation, *fold.test]) == list(range(150))
        half = smaller(fold, movies, 0.5)
        assert set(half.train) < set(fold.train)
        assert half.test.tolist() == fold.test.tolist()
    sagas = [movie | {"collection": f"Saga {n // 3}"} for n, movie in enumerate(movies)]
    for fold in by_film(sagas, small):
        parts = [{sagas[i]["collection"] for i in part} for part in (fold.train, fold.validation, fold.test)]
        assert sum(map(len, parts)) == len(set.union(*parts))
    aged = by_time(movies, small)
    for fold, later in pairwise(aged):
        assert set(fold.test) <= {*later.train, *later.validation}
    for fold in aged:
        known, asked = ({movies[i]["year"] for i in part} for part in ([*fold.train, *fold.validation], fold.test))
        assert max(known) <= fold.until < min(asked)


@pytest.mark.slow
def test_what_was_trained_once_is_not_trained_again(
    movies: list[dict[str, Any]], small: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_folds, "FOLDS", 3)  # five show no more than three do
    first = study.Study(small)
    _trainings.train_all(first.trainings("model"), jobs=2)
    trained = {training.path.stat().st_mtime_ns for training in first.trainings("model")}
    assert len(trained) == len(first.folds) == 3
    found = first.model()
    assert found["model"]["facts"].keys() == {"model", "transformer", "linear"}
    assert found["model"]["facts"]["linear"]["balanced_accuracy"] > 0.8
    assert [row["coverage"] for row in found["coverage"]][-1] == 1.0

    def trained_again(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(_trainings, "fine_tune", trained_again)
    again = study.Study(small)
    assert again.model() == found
    baselines = again.baselines()["baselines"]
    assert baselines["facts"]["majority"]["balanced_accuracy"] == pytest.approx(1 / 3)
    gain = baselines["facts"]["majority"]["model_minus"]
    expected = found["model"]["facts"]["model"]["balanced_accuracy"] - 1 / 3
    assert gain["difference"]["balanced_accuracy"] == pytest.approx(expected)
    assert gain["interval_95"]["balanced_accuracy"][0] > 0
    with pytest.raises(AssertionError):
        study.Study(_trainings.changed(small, "train", {"seed": 5})).model()
