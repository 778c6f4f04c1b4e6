"""Explanations: the effect of a word or a field is the change of the probability when it is left out."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from movie_ratings.movies.validation import validated
from movie_ratings.prediction.classifier import Classifier
from movie_ratings.prediction.explain import explain, explain_in_steps, strongest
from movie_ratings.prediction.steps import finish
from stages import predict
from tests.support.builders import EVERYTHING, reading


def test_an_effect_is_the_difference_that_leaving_out_makes(trained: Path) -> None:
    classifier = Classifier.load(trained)
    movie = {"title": "Film 7", "summary": "A radiant vision.", "genres": ["Drama", "Crime"]}
    found = explain(classifier, validated(movie))
    (whole,) = classifier.predict([movie])
    assert found.prediction == whole
    assert [(e.field, e.text) for e in found.fields] == [
        ("title", "Film 7"),
        ("genres", "Drama, Crime"),
        ("summary", "A radiant vision."),
    ]
    words = ["Film", "7", "Drama", "Crime", "A", "radiant", "vision."]
    assert [e.text for e in found.words] == words
    (without,) = classifier.predict([movie | {"summary": "A vision."}])
    effect = whole.probabilities[whole.label] - without.probabilities[whole.label]
    assert found.words[5].effect == pytest.approx(effect, abs=1e-5)
    effects = [abs(e.effect) for e in strongest(found.words, 3)]
    assert effects == sorted((abs(e.effect) for e in found.words), reverse=True)[:3]


def test_every_field_that_a_model_may_read_has_an_effect(trained: Path) -> None:
    fields = ("title", "collection", "companies", "keywords", "budget")
    classifier = Classifier.load(reading(trained, *fields))
    found = explain(classifier, validated(EVERYTHING))
    assert [(e.field, e.text) for e in found.fields] == [
        ("title", "The Long Harbour"),
        ("collection", "Harbour Collection"),
        ("companies", "Quay Films"),
        ("keywords", "ice"),
        ("budget", "2500000"),
    ]
    words = ["The", "Long", "Harbour", "Harbour", "Collection", "Quay Films", "ice", "2500000"]
    assert [e.text for e in found.words] == words
    (without,) = classifier.predict([EVERYTHING | {"collection": "Harbour"}])
    effect = found.prediction.probabilities[found.prediction.label] - without.probabilities[found.prediction.label]
    assert found.words[4].effect == pytest.approx(effect, abs=1e-5)


def test_a_collection_beyond_reach_is_cut_as_a_summary_is(trained: Path) -> None:
    classifier = Classifier.load(reading(trained, "title", "collection"))
    assert len(explain(classifier, validated({"title": "A", "collection": "word " * 20_000})).words) == 32


def test_a_long_text_costs_no_more_predictions_than_it_has_tokens_in_reach(trained: Path) -> None:
    found = explain(Classifier.load(trained), validated({"summary": "word " * 20_000}))
    assert len(found.words) == 32


def test_an_explanation_needs_little_more_memory_than_the_prediction(trained: Path) -> None:
    # The tiny model reads 32 tokens. A copy of the whole text for each of 32 words would take 10 MB.
    classifier = Classifier.load(trained)
    movie = validated({"title": "Film 7", "summary": "word " * 60_000})
    alone = _peak(lambda: finish(classifier.predict_in_steps([movie])))
    explained = _peak(lambda: explain(classifier, movie))
    assert explained < alone + 3e6, f"{alone / 1e6:.0f} MB, explained {explained / 1e6:.0f} MB"


def test_a_text_beyond_reach_changes_no_effect_that_the_model_can_have(trained: Path) -> None:
    classifier = Classifier.load(trained)
    known = {"title": "Film 7", "genres": ["Drama"]}
    long = explain(classifier, validated(known | {"summary": "dull " * 150_000}))
    cut = explain(classifier, validated(known | {"summary": "dull " * 102 + "du"}))
    assert long.words == cut.words
    assert long.prediction == classifier.predict([known | {"summary": "dull " * 150_000}])[0]


def test_an_explanation_pauses_between_steps_and_is_the_same_with_pauses(trained: Path) -> None:
    classifier = Classifier.load(trained)
    movie = validated({"summary": "word " * 200})
    pauses = sum(1 for _ in explain_in_steps(classifier, movie))
    assert pauses >= 1
    assert finish(explain_in_steps(classifier, movie)) == explain(classifier, movie)


def test_the_command_line_explains(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict.main(["--title", "Film", "--summary", "A dull noise.", "--explain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {tuple(line.split()[1:]) for line in lines} >= {("title", "Film"), ("summary", "dull")}
    assert "without it the sentence may break" in lines[-1]
    assert predict.main(["--title", "Film", "--summary", "A dull noise.", "--explain", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [effect["field"] for effect in found["explanation"]["fields"]] == ["title", "summary"]


def _peak(work: Callable[[], object]) -> int:
    """The largest number of bytes that Python's objects take while ``work`` runs."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
