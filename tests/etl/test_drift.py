"""How far two summaries are apart, by hand and by what was planted."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl import drift, summary

N = 4_000


def rows(seed: int, **changes: object) -> pa.Table:
    rng = np.random.default_rng(seed)
    columns: dict[str, object] = {
        "event_time": 1_700_000_000_000 + rng.integers(0, 86_400_000, N),
        "event_id": [f"e{seed}-{i}" for i in range(N)],
        "user_id": [f"u{i}" for i in rng.zipf(1.5, N)],
        "region": rng.choice(["north", "south", "east"], N, p=[0.5, 0.3, 0.2]),
        "value": rng.lognormal(1, 1, N),
    }
    return pa.table({**columns, **changes})


def between(now: pa.Table, before: pa.Table) -> dict[str, float]:
    return drift.drift(summary.summarise(now), summary.summarise(before))


def test_a_run_has_no_drift_against_itself() -> None:
    held = summary.summarise(rows(1))
    found = drift.drift(held, held)
    assert {*found} == {*held["fields"], "hours"} and {*found.values()} == {0.0}


def test_another_sample_of_the_same_shop_is_stable() -> None:
    assert {drift.word(index) for index in between(rows(2), rows(1)).values()} == {"stable"}


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("region", {"region": ["north"] * N}),
        ("region", {"region": ["west"] * N}),
        ("region", {"region": ["north"] * (N // 2) + [None] * (N // 2)}),
        ("value", {"value": np.random.default_rng(3).lognormal(2, 1, N)}),
        ("value", {"value": [None] * N}),
        ("user_id", {"user_id": ["u1"] * N}),
        ("hours", {"event_time": [1_700_000_000_000] * N}),
    ],
)
def test_what_was_planted_is_named_and_nothing_else(field: str, changes: dict[str, object]) -> None:
    words = {name: drift.word(index) for name, index in between(rows(2, **changes), rows(1)).items()}
    assert words.pop(field) == "shifted"
    assert {*words.values()} == {"stable"}


def test_the_index_is_the_sum_over_shares() -> None:
    """Large counts, so that the smoothing does not show in four digits."""
    expected = (0.6 - 0.5) * math.log(0.6 / 0.5) + (0.4 - 0.5) * math.log(0.4 / 0.5)
    assert drift.psi(np.array([6e8, 4e8]), np.array([5e5, 5e5])) == pytest.approx(expected, rel=1e-4)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=20))
def test_the_index_is_never_negative_and_the_same_both_ways(pairs: list[tuple[int, int]]) -> None:
    now, before = np.array(pairs).T
    index = drift.psi(now, before)
    assert index >= 0 and math.isfinite(index)
    assert index == pytest.approx(drift.psi(before, now))


def test_a_value_that_one_side_may_hold_unlisted_is_no_shift() -> None:
    """More regions than are listed, each about as frequent: which are listed is chance."""
    rng = np.random.default_rng(4)
    regions = np.array([f"r{i}" for i in range(2 * summary.MOST_VALUES)])
    now, before = (pa.table({"region": rng.choice(regions, 60_000)}) for _ in range(2))
    assert between(now, before)["region"] < drift.STABLE
