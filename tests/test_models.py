"""Losses, calibration, decisions and figures of merit, against values worked out by hand or by another library."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score
from torch.nn import functional

from stages import metrics
from stages.calibration import fit_calibration, fit_decision, prior_corrected
from stages.decision import Calibration, Decision
from stages.labels import Thresholds
from stages.losses import RatingLoss

THRESHOLDS = Thresholds(5.0, 7.0)
ONES = torch.ones(3)
RATINGS = torch.tensor([4.0, 5.0, 6.0, 7.0, 8.5], dtype=torch.float64)


def test_without_spread_the_loss_is_weighted_cross_entropy() -> None:
    logits, weights = torch.randn(5, 3), torch.tensor([2.0, 0.5, 3.0])
    labels = torch.tensor([0, 1, 1, 1, 2])
    expected = functional.cross_entropy(logits, labels, weight=weights, reduction="sum") / 5
    found = RatingLoss(THRESHOLDS, 0.0, 0.0, weights)({"logits": logits}, RATINGS)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_soft_targets_say_that_a_rating_at_a_threshold_could_be_either() -> None:
    targets = RatingLoss(THRESHOLDS, 0.3, 0.0, ONES).targets(RATINGS)
    assert torch.allclose(targets.sum(dim=1), torch.ones(5, dtype=torch.float64))
    assert targets[1].tolist() == pytest.approx([0.5, 0.5, 0.0], abs=1e-3)
    assert targets[2].argmax() == 1


def test_focal_loss_pays_less_attention_to_easy_movies() -> None:
    easy, hard = torch.tensor([[5.0, 0.0, 0.0]]), torch.tensor([[0.0, 5.0, 0.0]])
    rating = torch.tensor([4.0])
    plain, focal = RatingLoss(THRESHOLDS, 0.0, 0.0, ONES), RatingLoss(THRESHOLDS, 0.0, 2.0, ONES)
    shrunk = [focal({"logits": x}, rating) / plain({"logits": x}, rating) for x in (easy, hard)]
    assert shrunk[0] < 0.01 < 0.9 < shrunk[1]


def test_accumulated_batches_weigh_as_one() -> None:
    loss, logits = RatingLoss(THRESHOLDS, 0.4, 2.0, ONES), torch.randn(5, 3)
    whole = loss({"logits": logits}, RATINGS)
    parts = sum(loss({"logits": logits[s]}, RATINGS[s], num_items_in_batch=5) for s in (slice(0, 2), slice(2, 5)))
    assert float(parts) == pytest.approx(whole.item(), rel=1e-6)


def test_calibration_finds_the_temperature_and_the_bias_back() -> None:
    generator = np.random.default_rng(0)
    honest = generator.normal(size=(20_000, 3)) * 2 + np.array([0.0, 1.0, 0.0])
    probabilities = Calibration(1.0, (0.0, 0.0, 0.0)).probabilities(honest)
    labels = (probabilities.cumsum(axis=1) > generator.random((20_000, 1))).argmax(axis=1)
    distorted = 3 * (honest - np.array([0.0, 1.0, 0.0]))
    found = fit_calibration(distorted, labels)
    assert found.temperature == pytest.approx(3.0, rel=0.05)
    assert np.allclose(found.probabilities(distorted), probabilities, atol=0.03)


def test_a_perfectly_separated_validation_split_stays_finite() -> None:
    labels = np.array([0, 1, 2] * 5)
    found = fit_calibration(np.eye(3)[labels] * 50, labels)
    assert 0 < found.temperature < np.inf
    assert np.isfinite(found.probabilities(np.eye(3) * 50)).all()


def test_full_correction_answers_the_class_that_gains_most_over_its_share() -> None:
    shares = np.array([0.1, 0.8, 0.1])
    probabilities = np.array([[0.25, 0.7, 0.05]])
    assert prior_corrected(1.0, shares).classes(probabilities).tolist() == [0]
    assert fit_decision("argmax", probabilities, shares).classes(probabilities).tolist() == [1]


def test_the_fitted_decision_beats_argmax_on_rare_classes() -> None:
    generator = np.random.default_rng(1)
    probabilities = generator.dirichlet([1, 6, 1], size=3_000)
    labels = (probabilities.cumsum(axis=1) > generator.random((3_000, 1))).argmax(axis=1)
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
def test_the_fast_figures_are_the_library_figures(pairs: list[tuple[int, int]]) -> None:
    labels, predicted = np.array(pairs).T
    fast = metrics.fast_scores(labels, predicted)
    present = sorted(set(labels.tolist()))
    recall = [(predicted[labels == k] == k).mean() for k in present]
    assert fast["balanced_accuracy"] == pytest.approx(np.mean(recall))
    assert fast["macro_f1"] == pytest.approx(
        f1_score(labels, predicted, labels=present, average="macro", zero_division=0)
    )


def test_a_bootstrap_interval_holds_its_figure() -> None:
    labels = np.array([0, 1, 2] * 40)
    predicted = np.where(np.arange(120) % 4 == 0, 1, labels)
    low, high = metrics.bootstrap(120, lambda i: metrics.fast_scores(labels[i], predicted[i]), 200, 0)["accuracy"]
    assert low < metrics.fast_scores(labels, predicted)["accuracy"] < high


def test_a_decision_applies_its_offsets() -> None:
    decision = Decision("prior_corrected", 1.0, (0.0, -5.0, 0.0))
    assert decision.classes(np.array([[0.0, 0.99, 0.01]])).tolist() == [2]
