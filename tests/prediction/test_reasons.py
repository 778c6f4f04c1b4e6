"""The strongest reasons of each prediction of a file: as columns, and printed."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from movie_ratings.movies.validation import validated
from movie_ratings.prediction.bulk import REASONS
from movie_ratings.prediction.classifier import Classifier
from movie_ratings.prediction.explain import explain, reasons
from stages import predict
from tests.support.builders import ROOT

MOVIES = [
    {"title": "Film 1", "summary": "A radiant tender vision of day 1.", "genres": ["Drama"]},
    {"title": "Film 2", "summary": "A dull stale noise of day 2.", "genres": ["Drama", "Crime"]},
    {"title": "Film 3", "summary": "A plain tidy story.", "genres": []},
]


def write(path: str) -> None:
    Path(path).write_text("".join(json.dumps(movie) + "\n" for movie in MOVIES))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_file_gains_the_strongest_reasons(trained: Path, suffix: str) -> None:
    write("in.jsonl")
    assert predict.main(["--input", "in.jsonl", "--output", f"out{suffix}", "--explain"]) == 0
    if suffix == ".csv":
        rows = list(csv.DictReader(Path("out.csv").read_text().splitlines()))
    elif suffix == ".jsonl":
        rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    else:
        rows = pl.read_parquet("out.parquet").to_dicts()
    classifier = Classifier.load(trained)
    assert list(rows[0])[-3:] == list(REASONS)
    for movie, row in zip(MOVIES, rows, strict=True):
        expected = explain(classifier, validated(movie), detail="phrases")
        assert row["label"] == expected.prediction.label
        assert float(row["predicted_rating"]) == pytest.approx(expected.prediction.predicted_rating)
        assert [row[name] or None for name in REASONS if row[name]] == reasons(expected, 3)
    assert rows[0]["reason_1"].split()[-1].startswith(("+", "-"))


def test_reasons_explain_the_label_of_the_decision(trained: Path) -> None:
    write("in.jsonl")
    flags = ["--input", "in.jsonl", "--output", "out.jsonl", "--explain", "--decision", "most_probable"]
    assert predict.main(flags) == 0
    for row in map(json.loads, Path("out.jsonl").read_text().splitlines()):
        probabilities = {name: row[f"probability_{name}"] for name in ("bad", "average", "good")}
        assert row["label"] == max(probabilities, key=probabilities.__getitem__)


def test_a_first_movie_without_reasons_leaves_the_columns_of_text(trained: Path) -> None:
    movies = [{"title": "\u200b", "summary": ""}, *MOVIES]  # nothing of the first title changes a prediction
    Path("in.jsonl").write_text("".join(json.dumps(movie) + "\n" for movie in movies))
    assert predict.main(["--input", "in.jsonl", "--output", "out.parquet", "--explain"]) == 0
    assert {pl.read_parquet("out.parquet").schema[name] for name in REASONS} == {pl.String()}


def test_a_broken_row_leaves_no_file_with_reasons(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("in.jsonl")
    with Path("in.jsonl").open("a") as file:
        file.write('{"title": "", "summary": ""}\n')
    assert predict.main(["--input", "in.jsonl", "--output", "out.csv", "--explain"]) == 2
    assert "in.jsonl line 4" in capsys.readouterr().err.splitlines()[-1]
    assert sorted(path.name for path in Path().iterdir() if path.is_file()) == ["in.jsonl"]


def test_printed_predictions_have_their_reasons_below_them(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("in.jsonl")
    assert predict.main(["--input", "in.jsonl", "--explain"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert predict.main(["--input", "in.jsonl", "--explain", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    below = ["; ".join(line["reasons"]) for line in lines]
    assert [line.strip() for line in printed if line.startswith(" ")] == [text for text in below if text]
    assert any(below)
    assert predict.main(["--input", "in.jsonl", "--json"]) == 0
    assert "reasons" not in capsys.readouterr().out


@pytest.mark.slow
def test_ray_gives_the_same_reasons(trained: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install -r requirements-ray.txt")
    pl.DataFrame(MOVIES).write_parquet("in.parquet")
    assert predict.main(["--input", "in.parquet", "--output", "one.parquet", "--explain"]) == 0
    command = [sys.executable, "-m", "stages.predict", "--input", "in.parquet", "--output", "many.parquet"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    flags = ["--explain", "--engine", "ray", "--workers", "1"]
    subprocess.run([*command, *flags], env=environment, check=True, timeout=200)
    one, many = pl.read_parquet("one.parquet"), pl.read_parquet("many.parquet")
    assert many.select(REASONS).equals(one.select(REASONS))
