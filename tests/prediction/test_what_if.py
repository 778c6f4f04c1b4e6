"""What if: one movie with other values of a field, from the command line."""

import json
from pathlib import Path

import pytest

from movie_ratings.core.errors import UserError
from movie_ratings.movies.validation import validated
from movie_ratings.prediction.classifier import Classifier
from movie_ratings.prediction.what_if import variants
from stages import predict

MOVIE = {"title": "Film 7", "summary": "A radiant vision.", "genres": ["Drama"]}
FLAGS = ["--title", "Film 7", "--summary", "A radiant vision.", "--genres", "Drama"]


def test_each_value_is_one_more_prediction(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--vary", "runtime=90,110", "--vary", 'directors="Lee, Ang",A B;C D,', "--json"]
    assert predict.main([*FLAGS, *flags]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["field"], line["value"]) for line in lines] == [
        (None, None),
        ("runtime", 90),
        ("runtime", 110),
        ("directors", ["Lee, Ang"]),
        ("directors", ["A B", "C D"]),
        ("directors", []),
    ]
    classifier = Classifier.load(trained)
    (whole,) = classifier.predict([MOVIE])
    for line in lines:
        varied = MOVIE | ({line["field"]: line["value"]} if line["field"] else {})
        (expected,) = classifier.predict([varied])
        assert line["label"] == expected.label
        assert line["predicted_rating"] == pytest.approx(expected.predicted_rating, abs=1e-4)
        difference = expected.predicted_rating - whole.predicted_rating
        assert line["rating_difference"] == pytest.approx(difference, abs=1e-4)
        assert line["version"] == classifier.version


def test_the_table_has_a_row_for_each_value(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict.main([*FLAGS, "--vary", "genres=Horror,Drama;Crime", "--vary", "summary=A dull noise."]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["rating", "80%", "interval", "bad", "average", "good", "label", "difference"]
    assert [row.split("  ")[0] for row in rows] == [
        "as given",
        "genres Horror",
        "genres Drama, Crime",
        "summary A dull noise.",
    ]
    (whole, other) = Classifier.load(trained).predict([MOVIE, MOVIE | {"summary": "A dull noise."}])
    assert rows[0].split()[-1] == whole.label
    assert rows[-1].split()[-2:] == [other.label, f"{other.predicted_rating - whole.predicted_rating:+.2f}"]


def test_the_decision_holds_for_each_row(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = ",".join(f"A {word} day" for word in ("dull", "plain", "radiant", "stale", "tidy"))
    assert predict.main([*FLAGS, "--vary", f"summary={values}", "--json", "--decision", "most_probable"]) == 0
    for line in map(json.loads, capsys.readouterr().out.splitlines()):
        assert line["label"] == max(line["probabilities"], key=line["probabilities"].get)


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        ("runtime", "--vary runtime: expected FIELD=VALUE"),
        ("runtim=90", "found the field 'runtim'"),
        ("runtime=90,long", "--vary runtime=90,long: runtime must be a whole number, found 'long'"),
        ("runtime=-1", "--vary runtime=-1: runtime must be a whole number from 0 to 10,000"),
        ("year=94", "year must be a whole number from 1870"),
        ("runtime=" + "9" * 5_000, "runtime"),
        ('directors="A', '--vary directors="A: the values of directors cannot be read'),
        ("directors=A\nB", "the values of directors cannot be read"),
        (f"directors={'A' * 20_000}", "each of directors must have at most 10,000 characters"),
        ("budget=1000", "--vary budget: the model does not read budget"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_flag_and_field(
    trained: Path, capsys: pytest.CaptureFixture[str], flag: str, reason: str
) -> None:
    assert predict.main([*FLAGS, "--vary", flag]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    assert line.startswith("error: --vary ")
    assert reason in line
    assert len(line) < 500


def test_a_field_is_varied_once_and_title_and_summary_not_away() -> None:
    movie = validated({"title": "A"})
    with pytest.raises(UserError, match="give the field runtime once"):
        variants(movie, ["runtime=90", "runtime=100"])
    with pytest.raises(UserError, match="--vary title=: title and summary are both empty"):
        variants(movie, ["title="])
    assert [each.movie for each in variants(movie, ["spoken-languages=English; Deutsch"])][1] == {
        "title": "A",
        "spoken_languages": ["English", "Deutsch"],
    }


@pytest.mark.parametrize("others", [["--input", "a.csv"], ["--title", "A", "--explain"]])
def test_it_is_for_one_movie_and_not_with_an_explanation(
    trained: Path, capsys: pytest.CaptureFixture[str], others: list[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        predict.main([*others, "--vary", "runtime=90"])
    assert stopped.value.code == 2
    assert "--vary" in capsys.readouterr().err
