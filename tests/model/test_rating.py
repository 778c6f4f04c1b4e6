"""The rating that class probabilities imply, and the interval around it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from movie_ratings.model.linear import rating_logits
from movie_ratings.model.rating import Interval, fit_interval, implied_ratings
from movie_ratings.movies.labels import Thresholds

THRESHOLDS = Thresholds(5.0, 7.0)
SHARES = st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda shares: sum(shares) > 0)


def test_the_rating_of_a_cumulative_link_model_is_found_again() -> None:
    ratings = np.array([3.0, 5.0, 6.2, 7.4, 9.0])
    probabilities = np.exp(rating_logits(ratings, THRESHOLDS, 0.7))
    assert implied_ratings(probabilities, THRESHOLDS) == pytest.approx(ratings, abs=1e-3)


def test_probabilities_that_say_the_same_of_both_ends_imply_the_middle() -> None:
    probabilities = np.array([[0.1, 0.8, 0.1], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5]])
    assert implied_ratings(probabilities, THRESHOLDS) == pytest.approx([6.0, 6.0, 6.0])


@given(SHARES)
def test_rating_and_probabilities_never_contradict_each_other(shares: list[float]) -> None:
    probabilities = np.array([shares]) / sum(shares)
    (rating,) = implied_ratings(probabilities, THRESHOLDS)
    bad, _, good = probabilities[0]
    assert 0 <= rating <= 10
    if bad > 0.5 + 1e-5:
        assert rating < THRESHOLDS.low
    if good > 0.5 + 1e-5:
        assert rating > THRESHOLDS.high
    if bad < 0.5 - 1e-5 and good < 0.5 - 1e-5:
        assert THRESHOLDS.low <= rating <= THRESHOLDS.high


@pytest.mark.parametrize("count", [20, 100, 1_000])
def test_four_new_movies_in_five_lie_in_their_interval(count: int) -> None:
    generator = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        # Residuals that are not symmetric: ratings have a long tail of bad ones.
        ratings = 6 - generator.gamma(2.0, 0.5, count + 50)
        predicted = np.full(count, 5.0)
        low, high = fit_interval(ratings[:count], predicted).around(np.full(50, 5.0)).T
        covered.append(np.mean((ratings[count:] >= low) & (ratings[count:] <= high)))
    assert 0.795 <= np.mean(covered) <= 0.8 + 3 / count + 0.01


def test_the_interval_of_few_movies_holds_all_of_their_residuals() -> None:
    assert fit_interval(np.array([5.0, 7.0]), np.array([6.0, 6.0])) == Interval(-1.0, 1.0)
    assert fit_interval(np.array([5.0]), np.array([6.0])) == Interval(-1.0, -1.0)


def test_no_interval_leaves_the_scale_of_ratings() -> None:
    assert Interval(-1.0, 1.0).around(np.array([0.5, 9.5])).tolist() == [[0.0, 1.5], [8.5, 10.0]]
