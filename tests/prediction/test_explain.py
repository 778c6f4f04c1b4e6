"""Explanations: the effect of a word or a field is the change of the probability when it is left out."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from movie_ratings.model.decision import facts_known
from movie_ratings.model.linear import LinearPart
from movie_ratings.model.rating import implied_ratings
from movie_ratings.movies.text import facts_among
from movie_ratings.movies.validation import validated
from movie_ratings.prediction.classifier import Classifier, Prediction, Variants
from movie_ratings.prediction.explain import (
    CONTRIBUTIONS,
    READ,
    Detail,
    Effect,
    Explanation,
    as_dict,
    explain,
    explain_in_steps,
    reasons,
    strongest,
)
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
    assert found.words[5].rating_effect == pytest.approx(whole.predicted_rating - without.predicted_rating, abs=1e-4)
    assert found.words[5].rating_effect > 0, "the word raises the rating"
    effects = [abs(e.effect) for e in strongest(found.words, 3)]
    assert effects == sorted((abs(e.effect) for e in found.words), reverse=True)[:3]


@pytest.mark.parametrize("detail", ["words", "phrases"])
def test_the_label_of_each_decision_is_explained(trained: Path, detail: Detail) -> None:
    path = trained / "movie_ratings.json"
    metadata = json.loads(path.read_text())
    # The checkpoint's rule now gives the label bad to every movie.
    metadata["answerings"]["plot"]["decision"]["offsets"] = [100.0, 0.0, 0.0]
    path.write_text(json.dumps(metadata))
    classifier, movie = Classifier.load(trained), {"title": "Film 7", "summary": "A radiant vision."}
    labels = [classifier.predict([movie], decision)[0].label for decision in ("balanced", "most_probable")]
    assert labels[0] == "bad" != labels[1]
    for decision in ("balanced", "most_probable"):
        explained = explain(classifier, validated(movie), decision, detail)
        (whole,) = classifier.predict([movie], decision)
        assert explained.prediction == whole
        (without,) = classifier.predict([movie | {"summary": ""}])
        fall = whole.probabilities[whole.label] - without.probabilities[whole.label]
        assert explained.fields[1].effect == pytest.approx(fall, abs=1e-5)


def test_what_is_left_out_never_changes_which_weights_are_used(trained: Path) -> None:
    """With one fact less, the movie would be predicted with the weights of movies without facts."""
    classifier = Classifier.load(trained)
    facts = facts_among(classifier.metadata.text.fields)
    enough = facts[: (len(facts) + 1) // 2]
    movie = {"title": "Film 7", "summary": "A radiant vision."} | {field: EVERYTHING[field] for field in enough}
    assert facts_known([movie], classifier.metadata.text.fields).all()
    for left_out in enough:
        without = movie | {left_out: None}
        assert not facts_known([without], classifier.metadata.text.fields).any()
        variants = Variants(known=True)
        logits = finish(classifier.logits_in_steps([movie, without], variants))
        probabilities, _ = classifier.metadata.answerings.answer(logits, np.array([True, True]))
        ratings = implied_ratings(probabilities, classifier.metadata.thresholds)
        found = explain(classifier, validated(movie))
        effect = next(effect for effect in found.fields if effect.field == left_out)
        assert effect.rating_effect == pytest.approx(ratings[0] - ratings[1], abs=1e-5)
        linear = logits[1, 1] - LinearPart.logits(classifier._linear, [without])[0]  # type: ignore[arg-type]
        assert np.abs(linear).max() > 1e-3, "the other weights give other logits"


def test_phrases_are_a_bounded_number_of_texts_and_the_strongest_are_divided_furthest(trained: Path) -> None:
    classifier = Classifier.load(trained)
    words = ["plain", "tidy", "story"] * 8
    words[20] = "masterful"
    movie = EVERYTHING | {"title": "Film 7", "summary": " ".join(words), "cast": ["Bo One", "Cy Two"]}
    read: list[int] = []
    engine = classifier._engine

    class Counted:
        precision, tokens = engine.precision, engine.tokens

        def logits(self, ids: Any, mask: Any) -> Any:
            read.append(len(ids))
            return engine.logits(ids, mask)

    classifier._engine = Counted()
    found = explain(classifier, validated(movie), detail="phrases")
    assert sum(read) <= READ
    assert found.prediction == Classifier.load(trained).predict([movie])[0]
    assert " ".join(e.text for e in found.words if e.field == "summary") == " ".join(words)
    # The model reads 32 tokens: the phrase that holds the telling word is not the longest one.
    summary = [e for e in found.words if e.field == "summary"]
    assert len(summary) > 1
    for effect in summary:
        rest = " ".join(e.text for e in summary if e is not effect)
        (without,) = classifier.predict([movie | {"summary": rest}])
        fall = found.prediction.predicted_rating - without.predicted_rating
        assert effect.rating_effect == pytest.approx(fall, abs=1e-4)
    fields = {e.field: e for e in found.fields}
    assert fields["summary"].text == " ".join(words)


def test_a_short_movie_is_divided_into_single_words(trained: Path) -> None:
    classifier, movie = Classifier.load(trained), validated({"title": "Film 7", "summary": "A radiant vision."})
    words, phrases = (explain(classifier, movie, detail=detail) for detail in ("words", "phrases"))
    assert [e.text for e in phrases.words] == [e.text for e in words.words]
    for one, other in zip(phrases.words, words.words, strict=True):
        assert one.effect == pytest.approx(other.effect, abs=1e-5)


def test_what_the_transformer_does_not_read_costs_it_nothing(trained: Path) -> None:
    """The names that the linear part alone reads, and the words beyond the reach of the transformer."""
    classifier = Classifier.load(trained)
    variants = Variants(known=True)
    finish(classifier.logits_in_steps([EVERYTHING, EVERYTHING | {"writers": []}], variants))
    assert len(variants.texts) == 1
    finish(classifier.logits_in_steps([EVERYTHING | {"title": "Film 7"}], variants))
    assert len(variants.texts) == 2


def test_reasons_are_the_strongest_effects_on_the_rating_in_words() -> None:
    effects = [("genres", "Drama", 0.004), ("directors", "Ada Example", 0.214), ("summary", "word " * 40, -0.3)]
    words = [Effect(field, text, 0.0, points) for field, text, points in effects]
    explanation = Explanation(Prediction("bad", {}, 5.0, (4.0, 6.0)), [], words, None)
    first, second = reasons(explanation, 3)
    assert first.startswith("summary: word word")
    assert first.endswith("… -0.30")
    assert len(first) < 80
    assert second == "directors: Ada Example +0.21"
    assert reasons(explanation, 1) == [first]


def test_what_programs_receive_adds_up(trained: Path) -> None:
    movie = validated(EVERYTHING | {"summary": "A radiant tender vision of a plain tidy story and a dull stale noise."})
    found = as_dict(explain(Classifier.load(trained), movie))
    contributions = found["contributions"]
    points = [each["points"] for each in contributions["strongest"]]
    assert len(points) <= CONTRIBUTIONS
    assert contributions["intercept"] + sum(points) + contributions["rest"] == pytest.approx(contributions["rating"])
    assert found["words"][0].keys() == {"field", "text", "effect", "rating_effect"}


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
    assert {tuple(line.split()[2:]) for line in lines} >= {("title", "Film"), ("summary", "dull")}
    assert "without it the sentence may break" in lines[-1]
    assert predict.main(["--title", "Film", "--summary", "A dull noise.", "--explain", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [effect["field"] for effect in found["explanation"]["fields"]] == ["title", "summary"]
    assert found["explanation"]["contributions"]["rating"] == pytest.approx(
        Classifier.load(trained).contributions({"title": "Film", "summary": "A dull noise."}).rating  # type: ignore[union-attr]
    )
    total = next(line for line in lines if line.startswith("The linear part alone"))
    parts = [float(line.split()[0]) for line in lines[lines.index(total) + 1 : -1]]
    assert sum(parts) == pytest.approx(float(total.split()[5].rstrip(",")), abs=0.06)


def test_the_command_line_explains_the_label_of_its_decision(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--title", "Film 7", "--summary", "A radiant vision.", "--explain", "--json", "--decision"]
    for decision in ("balanced", "most_probable"):
        assert predict.main([*flags, decision]) == 0
        found = json.loads(capsys.readouterr().out)
        expected = explain(
            Classifier.load(trained), validated({"title": "Film 7", "summary": "A radiant vision."}), decision
        )
        assert found["label"] == expected.prediction.label
        assert found["explanation"] == json.loads(json.dumps(as_dict(expected)))


def _peak(work: Callable[[], object]) -> int:
    """The largest number of bytes that Python's objects take while ``work`` runs."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
