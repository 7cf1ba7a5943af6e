"""The best of a catalogue are found exactly, whatever is not looked at on the way."""

from __future__ import annotations

import numpy as np
import pytest

from ensemble.native import Core
from ensemble.steps.scores import top_k


def expected(scores: np.ndarray, blocked: list[int], k: int) -> list[int]:
    """Of equals the smaller place; what is blocked or -inf is never taken."""
    held = scores.astype(np.float64)
    held[blocked] = -np.inf
    (places,) = top_k(held[None], k)
    return places[places >= 0].tolist()


@pytest.mark.parametrize("leading", [False, True])
@pytest.mark.parametrize(("items", "width", "k"), [(3000, 64, 100), (1500, 13, 40), (50, 8, 100), (2000, 64, 1)])
def test_products_by_way_of_bytes_are_the_exact_best(core: Core, items: int, width: int, k: int, leading: bool) -> None:
    rng = np.random.default_rng(items)
    rows = (rng.normal(size=(items, width)) * rng.gamma(1.0, 1.0, (items, 1))).astype(np.float32)
    rows[::7] = rows[0]  # equals, of which the smaller places come first
    rows[1] = 0
    blocked = rng.choice(items, items // 5, replace=False).tolist()
    for query in (rng.normal(size=width).astype(np.float32), np.zeros(width, np.float32), 1e4 * rows[3]):
        asked = {"rows": rows.tolist(), "query": query.tolist(), "blocked": blocked, "k": k}
        found = core("best_products", **asked, leading=leading)
        want = expected(rows.astype(np.float64) @ query, blocked, k)
        products = rows.astype(np.float64) @ query
        assert len(found) == len(set(found)) == len(want)
        assert not set(found) & set(blocked)
        # Float32 may take one for another only where they are as good.
        assert np.allclose(products[found], products[want], rtol=1e-5, atol=1e-6 * np.abs(products).max())


def test_a_query_that_is_no_number_finds_nothing(core: Core) -> None:
    rows = np.ones((10, 4)).tolist()
    assert core("best_products", rows=rows, query=[1e39, 0, 0, 0], blocked=[], k=3, leading=True) == []


@pytest.mark.parametrize(("items", "added", "k"), [(5000, 40_000, 100), (5000, 60, 100), (130, 400, 20), (64, 0, 5)])
def test_sums_are_looked_through_where_something_was_added(core: Core, items: int, added: int, k: int) -> None:
    rng = np.random.default_rng(added)
    places, numbers = rng.integers(items, size=added), rng.integers(-3, 9, size=added) / 4
    blocked = rng.choice(items, items // 3, replace=False).tolist()
    pairs = list(zip(places.tolist(), numbers.tolist()))
    want = expected(np.bincount(places, numbers, items), blocked, k)
    assert core("best_sums", items=items, added=pairs, blocked=blocked, k=k) == [want, want]


@pytest.mark.parametrize("blocked_part", [0.1, 0.95, 1.0])
@pytest.mark.parametrize("weights", [[], [0.0, 0.2, 0.0, 0.9], [0.0] * 500 + [1e-3]])
def test_what_a_region_demands_is_as_if_all_of_it_were_sorted(
    core: Core, weights: list[float], blocked_part: float
) -> None:
    """Of 6,000 items the first 4,096 are kept in order: a request that blocks them goes on with the others."""
    rng, items = np.random.default_rng(7), 6000
    counts = rng.integers(0, 400, items) / 8
    own = np.where(rng.random(items) < 0.02, rng.integers(1, 90, items), 0).astype(float)
    demand = own + counts * 0.5
    blocked = np.argsort(-demand, kind="stable")[: int(items * blocked_part)].tolist()
    rest = [place for place in range(items) if rng.random() < 0.05]
    scores = demand / demand.max()
    if weights:
        scores = scores * np.array(weights)[np.arange(items) % len(weights)]
        scores[scores <= 0] = -np.inf
    pairs = [[int(place), own[place]] for place in np.flatnonzero(own)]
    asked = {"counts": counts.tolist(), "own": pairs, "scale": 0.5, "weights": weights, "k": 100}
    for out in (blocked, rest):
        assert core("best_demand", **asked, blocked=out) == expected(scores, out, 100)
