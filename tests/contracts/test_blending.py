"""How scores are put together: monotone, finite, and the same for one row and for many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.blending import Evidence, by_evidence, personal_score, recent_weights, retrieval_score
from contracts.features import MS_PER_HOUR

probabilities = st.lists(st.floats(0, 1), min_size=2, max_size=20).map(np.array)


def test_weights_halve_with_every_half_life_and_the_future_weighs_as_now() -> None:
    ages = np.array([0, 12, 24, 48, -5]) * MS_PER_HOUR
    weights = recent_weights(ages, 24.0)
    assert weights.dtype == np.float32
    assert weights == pytest.approx([1, 2**-0.5, 0.5, 0.25, 1])


def test_a_signal_without_a_weight_says_nothing_and_weights_of_nothing_leave_all_equal() -> None:
    signals = {"two_tower_score": np.array([[1.0, 2.0]]), "als_score": np.array([[5.0, -3.0]])}
    assert retrieval_score(signals, {"als_score": 0.5}).tolist() == [[2.5, -1.5]]
    assert retrieval_score(signals, {}).tolist() == [[0.0, 0.0]]


@given(st.lists(st.integers(0, 10 * 365 * 24), min_size=1, max_size=8), st.integers(0, 10**5), st.floats(0.1, 10_000))
def test_no_weight_is_lost_to_rounding_however_long_ago_it_was(
    hours: list[int], later: int, half_life_hours: float
) -> None:
    """The shares of the pooled mean are those of exact arithmetic, and no number is one that a runtime may flush."""
    ages = np.array(hours) * MS_PER_HOUR
    weights = recent_weights(ages, half_life_hours)
    assert weights.max() == 1
    assert ((weights == 0) | (weights >= np.finfo(np.float32).tiny)).all()
    exact = np.exp2(-(ages - ages.min()) / (half_life_hours * MS_PER_HOUR))
    assert weights / weights.sum() == pytest.approx(exact / exact.sum(), abs=1e-6)
    assert recent_weights(ages + later * MS_PER_HOUR, half_life_hours).tolist() == weights.tolist()


def test_an_item_item_score_times_a_power_of_the_trend_is_their_order() -> None:
    similar, ratio = np.array([0.2, 0.5, 0.4]), np.array([3.0, 0.5, 1.0])
    signals = {"similar_log": np.log(similar), "trend": np.log(ratio)}
    scores = retrieval_score(signals, {"similar_log": 1.0, "trend": 0.7})
    assert np.exp(scores) == pytest.approx(similar * ratio**0.7)


@given(probabilities, st.floats(0, 100), st.floats(0.01, 100))
def test_the_spread_changes_no_order(probability: np.ndarray, weight: float, spread: float) -> None:
    retrieval = np.cos(np.arange(len(probability)))
    plain = personal_score(probability, retrieval, weight)
    assert personal_score(probability, retrieval, weight, spread) == pytest.approx(spread * plain)


def test_a_huge_weight_is_retrieval_alone() -> None:
    probability, retrieval = np.linspace(0.9, 0.1, 20), np.cos(np.arange(20.0))
    scores = personal_score(probability, retrieval, 1e9, 1e-9)
    assert scores == pytest.approx(retrieval, abs=1e-6)


@given(probabilities)
def test_without_retrieval_the_order_is_that_of_the_probability(probability: np.ndarray) -> None:
    scores = personal_score(probability, np.linspace(-3, 3, len(probability)), 0.0)
    assert np.isfinite(scores).all()
    assert (np.diff(scores[np.argsort(probability, kind="stable")]) >= 0).all()


def test_a_better_retrieval_score_is_a_better_rank_at_equal_probability() -> None:
    scores = personal_score(np.full(3, 0.2), np.array([0.5, -1.0, 2.0]), 0.3)
    assert np.argsort(scores).tolist() == [1, 0, 2]


def test_where_ranking_was_skipped_retrieval_decides_alone() -> None:
    probability = np.array([[np.nan, np.nan], [0.9, 0.1]])
    retrieval = np.array([[1.0, 2.0], [1.0, 2.0]])
    scores = personal_score(probability, retrieval, 0.1)
    assert scores[0].tolist() == [1.0, 2.0]
    assert scores[1, 0] > scores[1, 1]


@given(probabilities, st.floats(0, 2))
def test_one_row_of_a_batch_is_scored_as_it_is_alone(probability: np.ndarray, weight: float) -> None:
    retrieval = np.cos(np.arange(len(probability)))
    batch = personal_score(np.stack([probability, probability[::-1]]), np.stack([retrieval, retrieval]), weight)
    assert batch[0].tolist() == personal_score(probability, retrieval, weight).tolist()


def test_who_is_known_by_the_half_is_answered_half_as_himself_and_sooner_by_less_than_his_share() -> None:
    logged, two_tower, trending = np.array([[0.0]]), np.array([[0.0]]), np.array([[1.0]])

    def personal(evidence: int) -> float:
        own, common = by_evidence(logged, two_tower, trending, np.array([[evidence]]), Evidence(20.0, 0.0))
        assert own.item() + common.item() == pytest.approx(1.0)
        return own.item()

    assert personal(20) == pytest.approx(0.5)
    assert personal(0) == 0.0 and personal(2) < 2 / 22 / 5
