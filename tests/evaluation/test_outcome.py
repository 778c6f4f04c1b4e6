"""Old predictions of films, scored by the ratings that the films have by now."""

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from movie_ratings.evaluation import metrics
from movie_ratings.evaluation.outcome import AFTER, BEFORE, STATES, UNKNOWN, Drawn, Today, outcomes, span_of
from movie_ratings.model.answers import Answers, Ratings
from movie_ratings.prediction.slates import SLATE

DRAWN = Drawn(100, 0)


def answer(film: int, label: str = "average", version: str = "v1", asked: str = "2026-11-26", **more: Any) -> dict:
    """A row of a slate."""
    probabilities = {"bad": 0.2, "average": 0.2, "good": 0.2} | {label: 0.6}
    found = {
        "id": film, "label": label, "model_version": version, "threshold_low": 5.0, "threshold_high": 7.0,
        "predicted_rating": 6.0, "predicted_rating_low": 5.0, "predicted_rating_high": 7.0,
        "asked": datetime.fromisoformat(asked).replace(tzinfo=UTC), "release_date": date(2027, 1, 29),
        "base_rate_bad": 0.2, "base_rate_average": 0.6, "base_rate_good": 0.2,
    }  # fmt: skip
    return found | {f"probability_{name}": p for name, p in probabilities.items()} | more


def slate(*rows: dict) -> pa.Table:
    return pa.Table.from_pylist(rows, SLATE)


def today(ratings: dict[int, tuple[float | None, int | None]], gone: tuple[int, ...] = (), **more: Any) -> Today:
    films = {n: {"vote_average": rating, "vote_count": votes} | more for n, (rating, votes) in ratings.items()}
    return Today(films, frozenset(gone))


def by_span(rows: list[dict[str, Any]], version: str = "v1") -> dict[str, dict[str, Any]]:
    return {row["asked"]: row for row in rows if row["model_version"] == version}


def test_the_scores_are_those_of_the_metrics() -> None:
    labels = ["bad", "average", "good", "average", "good", "bad"]
    ratings = [4.0, 6.5, 6.9, 7.5, 8.0, 9.0]
    rows = [answer(n, label) for n, label in enumerate(labels, 1)]
    found = by_span(outcomes(slate(*rows), today({n: (r, 50) for n, r in enumerate(ratings, 1)}), 10, DRAWN))[BEFORE]
    probabilities = np.array([[row[f"probability_{name}"] for name in ("bad", "average", "good")] for row in rows])
    expected = metrics.scores(
        Answers(
            np.array([0, 1, 1, 2, 2, 2]),
            np.array([0, 1, 2, 1, 2, 0]),
            probabilities,
            Ratings(np.array(ratings), np.full(6, 6.0), np.tile([5.0, 7.0], (6, 1))),
        )
    )
    for name in ("balanced_accuracy", "macro_f1", "log_loss", "mean_absolute_error", "interval_coverage"):
        assert found[name] == pytest.approx(expected[name])
    base = -np.log([0.2, 0.6, 0.6, 0.2, 0.2, 0.2]).mean()
    assert found["log_loss_of_base_rates"] == pytest.approx(base)
    assert found["log_loss_minus_that_of_base_rates"]["difference"] == pytest.approx(expected["log_loss"] - base)
    assert found["interval_coverage"] == pytest.approx(2 / 6)


def test_every_film_is_counted_whether_or_not_it_is_rated() -> None:
    rows = [answer(n) for n in range(1, 7)]
    now = today({1: (6.0, 10), 2: (6.0, 9), 3: (0.0, 50), 4: (None, None)}, gone=(5,))
    found = by_span(outcomes(slate(*rows), now, 10, DRAWN))[BEFORE]
    assert {name: found[name] for name in ("films", *STATES)} == {
        "films": 6, "scored": 1, "few_votes": 3, "gone": 1, "failed": 1,
    }  # fmt: skip
    nobody = by_span(outcomes(slate(*rows), today({1: (6.0, 9)}), 10, DRAWN))[BEFORE]
    assert (nobody["scored"], nobody["few_votes"], "log_loss" in nobody) == (0, 1, False)


def test_a_film_counts_once_in_a_row_with_its_last_answer() -> None:
    rows = [
        answer(1, "bad", asked="2026-06-01"),
        answer(1, "good", asked="2027-01-25"),  # the last one before the release
        answer(1, "average", asked="2027-01-10"),
        answer(1, "bad", asked="2027-01-29"),
        answer(1, "bad", "v2", asked="2026-11-26"),
    ]
    found = outcomes(slate(*rows), today({1: (8.0, 50)}), 10, DRAWN)
    first = by_span(found)
    assert list(first) == [BEFORE, "26 weeks or more", "0 to 3 weeks", AFTER]
    assert [row["films"] for row in first.values()] == [1] * 4
    assert [row["balanced_accuracy"] for row in first.values()] == [1, 0, 1, 0]
    assert list(by_span(found, "v2")) == [BEFORE, "4 to 12 weeks"]


@pytest.mark.parametrize(
    ("asked", "span"),
    [
        ("2027-01-30", AFTER),
        ("2027-01-29", AFTER),
        ("2027-01-28", "0 to 3 weeks"),
        ("2027-01-02", "0 to 3 weeks"),
        ("2027-01-01", "4 to 12 weeks"),
        ("2026-10-30", "13 to 25 weeks"),
        ("2026-07-31", "26 weeks or more"),
    ],
)
def test_the_time_before_the_release_is_in_whole_weeks(asked: str, span: str) -> None:
    assert span_of(answer(1, asked=asked), today({})) == span


def test_the_day_of_release_is_the_one_that_is_known_by_now() -> None:
    moved = today({1: (6.0, 50)}, release_date=date(2026, 11, 20))
    assert span_of(answer(1), moved) == AFTER
    assert span_of(answer(1), today({1: (6.0, 50)}, release_date=None)) == "4 to 12 weeks"
    assert span_of(answer(1, release_date=None), today({})) == UNKNOWN


def test_nothing_answered_is_nothing_scored() -> None:
    assert outcomes(slate(), today({}), 10, DRAWN) == []
