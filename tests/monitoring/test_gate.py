"""The gate: what is worse beyond chance fails, whatever else does not; and which files cannot be compared."""

import csv
import io
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from movie_ratings.core import parquet
from movie_ratings.core.paths import CLEAN, PREDICTIONS
from movie_ratings.monitoring.gate import compare
from movie_ratings.monitoring.predictions import Predictions, pair, parse
from movie_ratings.movies.labels import CLASSES
from movie_ratings.movies.record import MOVIE
from movie_ratings.params import Evaluate
from stages import gate
from tests.support.builders import movie, read_params, write_params

Rows = list[dict[str, Any]]


def predicted(right: float, count: int = 300, seed: int = 0, rated: bool = True) -> Rows:
    """Predictions of which a share is right, and as sure as that."""
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        actual = number % 3
        called = actual if generator.random() < right else (actual + 1) % 3
        probabilities = [round((1 - right) / 2, 4)] * 3
        probabilities[called] = round(1 - 2 * probabilities[0], 4)
        row: dict[str, Any] = {"id": number, "actual": CLASSES[actual], "predicted": CLASSES[called]}
        row |= {f"probability_{name}": p for name, p in zip(CLASSES, probabilities, strict=True)}
        if rated:
            rating = 4.0 + 2 * actual
            error = generator.normal(0, 2 - right)
            row |= {"rating": rating, "predicted_rating": rating + error}
            row |= {"predicted_rating_low": rating + error - 1, "predicted_rating_high": rating + error + 1}
        rows.append(row)
    return rows


def as_csv(rows: Rows) -> str:
    text = io.StringIO(newline="")
    sink = csv.DictWriter(text, list(rows[0]))
    sink.writeheader()
    sink.writerows(rows)
    return text.getvalue()


def write(rows: Rows) -> None:
    Path(PREDICTIONS).parent.mkdir(exist_ok=True)
    Path(PREDICTIONS).write_text(as_csv(rows), newline="")


def git(*arguments: str) -> None:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def compared(workspace: Path) -> Callable[..., int]:
    """Commits the first predictions, writes the second ones to the workspace, and returns the gate's exit code."""
    raw = read_params()
    raw["evaluate"]["bootstrap"] = 200
    write_params(raw)

    def run(old: Rows, new: Rows, *arguments: str) -> int:
        write(old)
        git("init", "--quiet", "--initial-branch=main")
        git("add", PREDICTIONS)
        git("commit", "--quiet", "--message=Old")
        write(new)
        return gate.main(["--against", "main", *arguments])

    return run


def test_the_same_predictions_pass(compared: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert compared(predicted(0.7), predicted(0.7)) == 0
    out, err = capsys.readouterr()
    assert "gate: passed" in out
    assert "slices are skipped" in out
    assert err == ""


def test_worse_predictions_fail_and_are_named(compared: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert compared(predicted(0.9), predicted(0.5)) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("gate: failed: worse beyond chance: balanced accuracy; macro-F1; log-loss; mean error")


def test_better_predictions_pass(compared: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert compared(predicted(0.5), predicted(0.9)) == 0
    out = capsys.readouterr().out
    assert out.count("better") == 4


def test_worse_probabilities_fail_though_the_labels_are_the_same(
    compared: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = predicted(0.8), predicted(0.8)
    for row in new:
        row |= {f"probability_{name}": 0.3334 if name == row["predicted"] else 0.3333 for name in CLASSES}
    assert compared(old, new) == 1
    assert capsys.readouterr().out.splitlines()[-1].endswith("worse beyond chance: log-loss")


def test_worse_ratings_fail_alone(compared: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    new = [row | {"predicted_rating": row["predicted_rating"] + 3} for row in predicted(0.8)]
    assert compared(predicted(0.8), new) == 1
    assert capsys.readouterr().out.splitlines()[-1].endswith("worse beyond chance: mean error of the rating")


def test_a_revision_without_ratings_is_compared_by_the_other_figures(
    compared: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(predicted(0.7, rated=False), predicted(0.7)) == 0
    out = capsys.readouterr().out
    assert "one of the files has no ratings" in out
    assert "mean error of the rating  " not in out


def test_a_slice_that_falls_fails_though_all_movies_together_do_not(
    compared: Callable[..., int], capsys: pytest.CaptureFixture[str], workspace: Path
) -> None:
    old, new = predicted(0.8, 3_000), predicted(0.8, 3_000, seed=1)
    western = [row for row in new if row["id"] < 60]
    for row in western:
        row["predicted"] = CLASSES[(CLASSES.index(row["actual"]) + 1) % 3]
    movies = [movie(n, genres=["Western" if n < 60 else "Drama"]) for n in range(3_000)]
    parquet.write_table(CLEAN, pa.Table.from_pylist(movies, MOVIE))
    assert compared(old, new) == 1
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "gate: failed: worse beyond chance: balanced accuracy of genre: Western"
    assert "genre: Drama" in out


def test_many_slices_of_equal_models_pass(compared: Callable[..., int], workspace: Path) -> None:
    """Of 120 intervals of 95%, several would exclude 0 by chance."""
    movies = [movie(n, genres=[f"Genre {n % 40}"], release_date=None) for n in range(3_600)]
    parquet.write_table(CLEAN, pa.Table.from_pylist(movies, MOVIE))
    assert compared(predicted(0.6, 3_600), predicted(0.6, 3_600, seed=5)) == 0


def test_few_of_many_pairs_of_equal_models_are_refused() -> None:
    """Four intervals of 95% for all movies alone would refuse more than 5% of the pairs."""
    settings, pairs = Evaluate(**read_params()["evaluate"] | {"bootstrap": 200}), 60

    def answers(seed: int) -> Predictions:
        return parse(as_csv(predicted(0.6, seed=seed)), "predictions")

    found = [
        compare(pair(answers(2 * n), answers(2 * n + 1), ("new", "old")), [], settings, lambda _: None)
        for n in range(pairs)
    ]
    refused = sum(any(figure.verdict == "worse" for figure in figures) for figures in found)
    assert refused <= 0.05 * pairs


def test_markdown_has_the_verdict_first_and_no_markup_of_a_movie(
    compared: Callable[..., int], capsys: pytest.CaptureFixture[str], workspace: Path
) -> None:
    parquet.write_table(CLEAN, pa.Table.from_pylist([movie(n, genres=["<b>|@all"]) for n in range(300)], MOVIE))
    assert compared(predicted(0.9), predicted(0.5), "--markdown") == 1
    out = capsys.readouterr().out
    assert out.startswith("### Gate failed: worse beyond chance: balanced accuracy")
    assert "<b>" not in out
    assert "@" not in out
    tables = [line for line in out.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {8}


def test_movies_of_one_file_alone_are_left_out(
    compared: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    new = [row | {"id": row["id"] + 100} for row in predicted(0.7)]
    new = [row | {"actual": CLASSES[row["id"] % 3], "rating": 5} for row in new]
    assert compared(predicted(0.7), new) in (0, 1)
    assert "on 200 movies" in capsys.readouterr().out


def test_a_few_other_labels_are_compared_on_those_of_the_workspace(
    compared: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    new = predicted(0.9)
    for row in new[:9]:
        row["actual"] = row["predicted"] = CLASSES[(CLASSES.index(row["actual"]) + 1) % 3]
    assert compared(predicted(0.9), new) == 0
    assert "9 of them had another true label there" in capsys.readouterr().out


def other_labels() -> Rows:
    return [row | {"actual": CLASSES[(CLASSES.index(row["actual"]) + 1) % 3]} for row in predicted(0.7)]


def changed(**values: Any) -> Rows:
    first, *others = predicted(0.7)
    return [first | values, *others]


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (other_labels(), "give 300 of 300 movies different true labels"),
        ([row | {"id": row["id"] + 290} for row in predicted(0.7)], "10 movies in common, and a comparison needs 30"),
        ([row | {"id": 7} for row in predicted(0.7)], "0 movies in common"),
        (changed(actual="great"), "line 2: actual must be one of bad, average, good, found 'great'"),
        (changed(id="x"), "line 2: id must be a whole number, found 'x'"),
        (changed(probability_bad="nan"), "line 2: probability_bad must be a number, found 'nan'"),
        (changed(probability_bad=3), "line 2: probabilities that do not sum to 1"),
        (changed(rating=""), "line 2: rating must be a number, found ''"),
        ([{"id": 1, "actual": "bad"}], "column 'predicted' is missing"),
    ],
)
def test_files_that_cannot_be_compared_are_refused_in_one_line(
    compared: Callable[..., int], capsys: pytest.CaptureFixture[str], new: Rows, message: str
) -> None:
    assert compared(predicted(0.7), new) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {PREDICTIONS}")
    assert message in err
    assert err.count("\n") == 1


def test_a_revision_that_cannot_be_compared_is_refused_in_one_line(
    compared: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert gate.main(["--against", "main"]) == 2  # no git repository
    assert "no such revision of a git repository here" in capsys.readouterr().err
    compared(predicted(0.7), predicted(0.7))
    capsys.readouterr()
    for revision in ("nothing", "--help", "-x", "HEAD:params.yaml"):
        assert gate.main([f"--against={revision}"]) == 2
        assert f"--against {revision}: no such revision" in capsys.readouterr().err
    git("rm", "--quiet", "--cached", PREDICTIONS)
    git("commit", "--quiet", "--message=Without")
    assert gate.main(["--against", "HEAD"]) == 2
    assert f"--against HEAD: has no {PREDICTIONS}" in capsys.readouterr().err
    Path(PREDICTIONS).unlink()
    assert gate.main(["--against", "HEAD~1"]) == 2
    assert f"{PREDICTIONS}: no such file" in capsys.readouterr().err
