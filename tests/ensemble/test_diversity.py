"""Maximal marginal relevance: what it must keep, and what it is for."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble.steps.diversity import spread_out


def unit(rng: np.random.Generator, number: int, width: int = 6) -> np.ndarray:
    vectors = rng.normal(size=(number, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def likeness(vectors: np.ndarray) -> float:
    """Mean cosine of a list's pairs."""
    return float((vectors @ vectors.T)[np.triu_indices(len(vectors), 1)].mean())


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.integers(0, 99))
def test_a_list_is_distinct_as_long_as_can_be_and_begins_with_the_best(
    number: int, k: int, diversity: float, seed: int
) -> None:
    order = spread_out(unit(np.random.default_rng(seed), number), k, diversity)
    assert len(order) == len({*order.tolist()}) == min(k, number)
    assert order[0] == 0 and order.max() < number
    if k >= number:
        assert sorted(order) == list(range(number)), "all of a pool is the same set in another order"


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(0, 99))
def test_without_diversity_the_order_stays(number: int, seed: int) -> None:
    assert spread_out(unit(np.random.default_rng(seed), number), 20, 0.0).tolist() == list(range(min(number, 20)))


def test_lists_become_less_alike_the_more_diversity_is_asked_for() -> None:
    """Over 40 pools in which the best are alike, as those of one taste are."""
    means = []
    for diversity in (0.0, 0.2, 0.5, 0.8, 1.0):
        found = []
        for seed in range(40):
            rng = np.random.default_rng(seed)
            vectors = unit(rng, 100)
            vectors = vectors[np.argsort(-vectors @ unit(rng, 1)[0], kind="stable")]
            found.append(likeness(vectors[spread_out(vectors, 10, diversity)]))
        means.append(np.mean(found))
    assert means == sorted(means, reverse=True) and means[0] > means[-1] + 0.2


def test_each_next_is_the_one_of_the_greatest_marginal_relevance() -> None:
    """Against the formula, pick by pick."""
    vectors = unit(np.random.default_rng(3), 30)
    order = spread_out(vectors, 10, 0.4).tolist()
    for place in range(1, 10):
        chosen = order[:place]
        gain = {
            i: 0.6 * (1 - i / 30) - 0.4 * max(float(vectors[i] @ vectors[j]) for j in chosen)
            for i in range(30)
            if i not in chosen
        }
        assert gain[order[place]] >= max(gain.values()) - 1e-6
