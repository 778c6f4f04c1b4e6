"""Losses, calibration, decisions and figures of merit, against values worked out by hand or by another library."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score
from torch.nn import functional

from movie_ratings.evaluation import metrics
from movie_ratings.model.answers import Answers
from movie_ratings.model.decision import Answering, Answerings, Calibration, Decision, facts_known, prior_corrected
from movie_ratings.model.head import OUTPUTS, Head, Objective
from movie_ratings.model.linear import rating_logits
from movie_ratings.model.rating import Interval
from movie_ratings.movies.labels import Thresholds
from movie_ratings.training.calibration import SHARES, fit_calibration, fit_decision
from movie_ratings.training.objectives import SCALE, RatingLoss, class_logits

THRESHOLDS = Thresholds(5.0, 7.0)
ONES = torch.ones(3)
RATINGS = torch.tensor([4.0, 5.0, 6.0, 7.0, 8.5], dtype=torch.float64)


def loss(kind: Objective, sigma: float = 0.0, gamma: float = 0.0, class_weights: torch.Tensor = ONES) -> RatingLoss:
    return RatingLoss(Head(kind, 6.0, 2.0), THRESHOLDS, sigma, gamma, class_weights)


def labels(ratings: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    return torch.stack([ratings, torch.ones_like(ratings) if weights is None else weights], dim=1)


def test_without_soft_labels_the_loss_is_weighted_cross_entropy() -> None:
    logits, weights = torch.randn(5, 3), torch.tensor([2.0, 0.5, 3.0])
    classes = torch.tensor([0, 1, 1, 1, 2])
    expected = functional.cross_entropy(logits, classes, weight=weights, reduction="sum") / 5
    found = loss("cross_entropy", class_weights=weights)({"logits": logits}, labels(RATINGS))
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_soft_targets_say_that_a_rating_at_a_threshold_could_be_either() -> None:
    targets = loss("cross_entropy", sigma=0.3).targets(RATINGS)
    assert torch.allclose(targets.sum(dim=1), torch.ones(5, dtype=torch.float64))
    assert targets[1].tolist() == pytest.approx([0.5, 0.5, 0.0], abs=1e-3)
    assert targets[2].argmax() == 1


def test_focal_loss_pays_less_attention_to_easy_movies() -> None:
    easy, hard = torch.tensor([[5.0, 0.0, 0.0]]), torch.tensor([[0.0, 5.0, 0.0]])
    rating = labels(torch.tensor([4.0]))
    plain, focal = loss("cross_entropy", gamma=2.0), loss("focal", gamma=2.0)
    shrunk = [focal({"logits": x}, rating) / plain({"logits": x}, rating) for x in (easy, hard)]
    assert shrunk[0] < 0.01 < 0.9 < shrunk[1]


def test_the_rating_is_regressed_in_standard_deviations() -> None:
    found = loss("regression")({"logits": torch.tensor([[0.5], [0.0]])}, labels(torch.tensor([8.0, 7.0])))
    assert found.item() == pytest.approx((0.5**2 + 0.5**2) / 2)
    outputs = torch.randn(5, 4)
    both = loss("multi_task")({"logits": outputs}, labels(RATINGS))
    parts = [
        loss("cross_entropy")({"logits": outputs[:, :3]}, labels(RATINGS)),
        loss("regression")({"logits": outputs[:, 3:]}, labels(RATINGS)),
    ]
    assert both.item() == pytest.approx((parts[0] + 0.5 * parts[1]).item(), rel=1e-6)


def test_the_ordinal_loss_asks_the_second_question_of_those_that_are_better_than_bad() -> None:
    outputs = torch.tensor([[-20.0, 9.0], [20.0, -20.0], [20.0, 20.0]])
    right = loss("ordinal")({"logits": outputs}, labels(torch.tensor([4.0, 6.0, 8.0])))
    assert right.item() == pytest.approx(0.0, abs=1e-6)
    wrong = loss("ordinal")({"logits": outputs}, labels(torch.tensor([6.0, 8.0, 6.0])))
    assert wrong.item() == pytest.approx((20.0 + 9.0 + 20.0 + 20.0) / 3, rel=1e-3)


@pytest.mark.parametrize("objective", OUTPUTS)
def test_every_objective_gives_log_probabilities_of_the_classes_in_their_order(objective: Objective) -> None:
    head = Head(objective, 6.0, 2.0)
    sure = {"ordinal": [[-9.0, 0.0], [9.0, -9.0], [9.0, 9.0]], "regression": [[-3.0], [0.0], [3.0]]}
    rows = sure.get(objective, (9 * torch.eye(3, len(OUTPUTS[objective]))).tolist())
    logits = class_logits(torch.tensor(rows), head, THRESHOLDS)
    assert logits.argmax(dim=1).tolist() == [0, 1, 2]
    if objective in ("ordinal", "regression"):
        assert torch.allclose(logits.exp().sum(dim=1), torch.ones(3), atol=1e-5)


def test_a_regressed_rating_gives_the_class_logits_that_the_linear_part_would_give() -> None:
    outputs = torch.linspace(-4, 4, 41)
    found = class_logits(outputs[:, None].double(), Head("regression", 6.0, 2.0), THRESHOLDS)
    expected = rating_logits(6.0 + 2.0 * outputs.double().numpy(), THRESHOLDS, SCALE * 2.0)
    assert np.allclose(found.numpy(), expected, atol=1e-6)
    # Far from the thresholds, where float32 rounds one probability to 0, its logarithm stays finite.
    assert torch.isfinite(class_logits(torch.tensor([[-60.0], [60.0]]), Head("regression", 6.0, 2.0), THRESHOLDS)).all()


def test_a_row_counts_as_much_as_its_weight() -> None:
    logits = torch.randn(2, 3)
    alone = [loss("cross_entropy")({"logits": logits[n : n + 1]}, labels(RATINGS[n : n + 1])).item() for n in range(2)]
    weights = torch.tensor([1.5, 0.5], dtype=torch.float64)
    both = loss("cross_entropy")({"logits": logits}, labels(RATINGS[:2], weights))
    assert both.item() == pytest.approx((1.5 * alone[0] + 0.5 * alone[1]) / 2, rel=1e-6)


def test_accumulated_batches_weigh_as_one() -> None:
    focal, logits = loss("focal", sigma=0.4, gamma=2.0), torch.randn(5, 3)
    whole = focal({"logits": logits}, labels(RATINGS))
    # The Trainer counts the numbers of the labels: two a row.
    parts = sum(
        focal({"logits": logits[s]}, labels(RATINGS[s]), num_items_in_batch=10) for s in (slice(0, 2), slice(2, 5))
    )
    assert float(parts) == pytest.approx(whole.item(), rel=1e-6)


def drawn(probabilities: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Labels that the probabilities are true of."""
    return (probabilities.cumsum(axis=1) > generator.random((len(probabilities), 1))).argmax(axis=1)


def test_calibration_finds_the_temperature_and_the_bias_back() -> None:
    generator = np.random.default_rng(0)
    honest = generator.normal(size=(20_000, 3)) * 2 + np.array([0.0, 1.0, 0.0])
    probabilities = Calibration((1.0,), (0.0, 0.0, 0.0)).probabilities(honest[None])
    distorted = 3 * (honest - np.array([0.0, 1.0, 0.0]))[None]
    found = fit_calibration(distorted, drawn(probabilities, generator))
    assert found.scales[0] == pytest.approx(1 / 3, rel=0.05)
    assert np.allclose(found.probabilities(distorted), probabilities, atol=0.03)


def test_of_two_models_the_better_counts_for_more_and_noise_for_nothing() -> None:
    generator = np.random.default_rng(0)
    good, weak, noise = (generator.normal(size=(5_000, 3)) * scale for scale in (2.0, 0.7, 1.0))
    labels = drawn(Calibration((1.0, 1.0), (0.0, 0.0, 0.0)).probabilities(np.stack([good, weak])), generator)
    assert fit_calibration(np.stack([good, weak]), labels).scales == pytest.approx((1.0, 1.0), abs=0.15)
    assert fit_calibration(np.stack([good, noise]), labels).scales[1] < 0.1


def test_a_perfectly_separated_validation_split_stays_finite() -> None:
    labels = np.array([0, 1, 2] * 5)
    found = fit_calibration(np.eye(3)[labels][None] * 50, labels)
    assert 0 < found.scales[0] < np.inf
    assert np.isfinite(found.probabilities(np.eye(3)[None] * 50)).all()


def test_a_decision_is_chosen_for_the_metric_that_the_user_names() -> None:
    generator = np.random.default_rng(2)
    probabilities = generator.dirichlet([1, 5, 1], size=4_000)
    labels, shares = drawn(probabilities, generator), probabilities.mean(axis=0)
    chosen = {metric: fit_decision("thresholds", probabilities, shares, metric) for metric in SHARES}
    found = {metric: metrics.class_scores(labels, how.classes(probabilities)) for metric, how in chosen.items()}
    assert max(found, key=lambda metric: found[metric]["balanced_accuracy"]) == "balanced_accuracy"
    assert max(found, key=lambda metric: found[metric]["macro_f1"]) == "macro_f1"
    assert found["macro_f1"]["macro_f1"] > found["balanced_accuracy"]["macro_f1"] + 0.02


def test_movies_with_and_without_facts_are_answered_each_in_its_way() -> None:
    movies: list[dict[str, Any]] = [
        {"title": "A", "year": 1999, "runtime": 90},
        {"title": "B"},
        {"title": "C", "year": 1999},
    ]
    fields = ("title", "year", "runtime", "cast", "directors")
    known = facts_known(movies, fields)
    assert known.tolist() == [True, False, False]
    assert facts_known(movies, ("title", "summary")).tolist() == [False] * 3
    sure = Answering(Calibration((10.0,), (0.0, 0.0, 0.0)), Decision("argmax", 0.0, (0.0, 0.0, 0.0)), Interval(-1, 2))
    offsets = Decision("thresholds", 0.0, (5.0, 0.0, 0.0))
    flat = Answering(Calibration((0.1,), (0.0, 0.0, 0.0)), offsets, Interval(-3, 3))
    logits = np.tile(np.array([0.0, 1.0, 0.0]), (1, 3, 1))
    probabilities, answers = Answerings(sure, flat).answer(logits, known)
    assert answers.tolist() == [1, 0, 0]
    assert probabilities[0, 1] > 0.99
    assert probabilities[1, 1] == pytest.approx(np.exp(0.1) / (2 + np.exp(0.1)))
    ends = Answerings(sure, flat).intervals(np.array([5.0, 5.0, 9.0]), known)
    assert ends.tolist() == [[4, 7], [2, 8], [6, 10]]


def test_full_correction_answers_the_class_that_gains_most_over_its_share() -> None:
    shares = np.array([0.1, 0.8, 0.1])
    probabilities = np.array([[0.25, 0.7, 0.05]])
    assert prior_corrected(1.0, shares).classes(probabilities).tolist() == [0]
    assert fit_decision("argmax", probabilities, shares).classes(probabilities).tolist() == [1]


def test_the_fitted_decision_beats_argmax_on_rare_classes() -> None:
    generator = np.random.default_rng(1)
    probabilities = generator.dirichlet([1, 6, 1], size=3_000)
    labels = drawn(probabilities, generator)
    shares = probabilities.mean(axis=0)
    chosen = fit_decision("prior_corrected", probabilities, shares).classes(probabilities)
    assert (
        balanced_accuracy_score(labels, chosen) > balanced_accuracy_score(labels, probabilities.argmax(axis=1)) + 0.05
    )


def test_expected_calibration_error_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.9, 0.1, 0.0], [0.0, 0.35, 0.65]])
    labels = np.array([0, 1, 2])
    # Two rows at 0.9 of which half are right, one at 0.65 that is right.
    assert metrics.expected_calibration_error(labels, probabilities) == pytest.approx((2 * 0.4 + 0.35) / 3)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30))
def test_the_class_scores_are_the_library_figures(pairs: list[tuple[int, int]]) -> None:
    labels, predicted = np.array(pairs).T
    found = metrics.class_scores(labels, predicted)
    present = sorted(set(labels.tolist()))
    recall = [(predicted[labels == k] == k).mean() for k in present]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recall))
    assert found["macro_f1"] == pytest.approx(
        f1_score(labels, predicted, labels=present, average="macro", zero_division=0)
    )


def test_a_bootstrap_interval_holds_its_figure() -> None:
    labels = np.array([0, 1, 2] * 40)
    predicted = np.where(np.arange(120) % 4 == 0, 1, labels)
    low, high = metrics.intervals(labels, predicted, 200, 0)["accuracy"]
    assert low < metrics.class_scores(labels, predicted)["accuracy"] < high


def test_a_bootstrap_interval_is_that_of_the_scores_of_each_resample(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = np.random.default_rng(7)
    labels, predicted = drawn.integers(0, 3, 50), drawn.integers(0, 3, 50)
    labels[labels == 2] = np.where(np.arange((labels == 2).sum()) < 2, 2, 0)  # some resamples have no good movie
    generator = np.random.default_rng(5)
    each = []
    for _ in range(300):
        rows = generator.integers(0, 50, 50)
        each.append(metrics.class_scores(labels[rows], predicted[rows]))
    for at_once in (1, 1_000, 1_000_000):
        monkeypatch.setattr(metrics, "AT_ONCE", at_once)
        for name, found in metrics.intervals(labels, predicted, 300, 5).items():
            assert found == pytest.approx(np.quantile([scores[name] for scores in each], [0.025, 0.975]))


def test_a_decision_applies_its_offsets() -> None:
    decision = Decision("prior_corrected", 1.0, (0.0, -5.0, 0.0))
    assert decision.classes(np.array([[0.0, 0.99, 0.01]])).tolist() == [2]


def test_coverage_keeps_the_most_confident_first() -> None:
    probabilities = np.array([[0.9, 0.05, 0.05], [0.4, 0.3, 0.3]] * 10)
    labels = np.array([0, 1] * 10)
    found = metrics.coverage(Answers(labels, probabilities.argmax(axis=1), probabilities))
    assert [row["coverage"] for row in found] == pytest.approx([n / 10 for n in range(1, 11)])
    assert found[4]["accuracy"] == 1.0
    assert found[-1]["accuracy"] == 0.5


def test_the_trade_off_goes_from_accuracy_to_balanced_accuracy() -> None:
    generator = np.random.default_rng(3)
    probabilities = generator.dirichlet([1, 5, 1], size=5_000)
    found = metrics.trade_off(drawn(probabilities, generator), probabilities, probabilities.mean(axis=0))
    assert found[0]["accuracy"] == pytest.approx(max(row["accuracy"] for row in found), abs=0.01)
    assert found[0]["accuracy"] > found[-1]["accuracy"] + 0.05
    best = max(found, key=lambda row: row["balanced_accuracy"])["strength"]
    assert 0.7 <= best <= 1.2


def test_a_perfectly_calibrated_model_shows_some_error_by_chance_and_no_more() -> None:
    generator = np.random.default_rng(4)
    probabilities = generator.dirichlet([2, 5, 2], size=1_000)
    floor = metrics.perfectly_calibrated_error(probabilities, 50, 0)
    honest = metrics.expected_calibration_error(drawn(probabilities, generator), probabilities)
    assert 0 < floor < 0.05
    assert honest < 3 * floor
    assert metrics.expected_calibration_error(np.zeros(1_000, dtype=np.int64), probabilities) > 3 * floor
