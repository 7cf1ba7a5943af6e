"""Which days are held back: what was planted, and nothing of a real log."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from contracts import config as configuration
from contracts.config import QualitySettings
from etl import holds, ingest, source, summary

SETTINGS = QualitySettings()
DAYS, ROWS = SETTINGS.hold_history_days, 2_000
REGIONS = ("north", "south", "east", "west")


def day(seed: int, rows: int = ROWS, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        "event_type": rng.choice(["view", "purchase"], rows, p=[0.7, 0.3]),
        "region": np.where(rng.random(rows) < 0.05, None, rng.choice(REGIONS, rows, p=[0.4, 0.3, 0.2, 0.1])),
        "value": rng.lognormal(1, 1, rows),
    }
    return summary.summarise(pa.table({**columns, **changes}))


BEFORE = [day(seed) for seed in range(DAYS)]
SMALL = [day(seed, SETTINGS.hold_min_rows - 1) for seed in range(DAYS)]


def half_null(rows: int) -> list[str | None]:
    return [None if i % 2 else REGIONS[i // 2 % 4] for i in range(rows)]


@pytest.mark.parametrize(
    ("suspect", "expected"),
    [
        (day(99), []),
        (day(99, ROWS // 9), []),
        (day(99, 9 * ROWS), []),
        (day(99, 12), ["rows: 12 where the 14 days before had 2,000 at the median (less than 1/10)"]),
        (day(99, 0), ["rows: 0 where the 14 days before had 2,000 at the median (less than 1/10)"]),
        (
            day(99, 25_000),
            ["rows: 25,000 where the 14 days before had 2,000 at the median (more than 10 times as many)"],
        ),
        (day(99, region=half_null(ROWS)), ["region: 50.0% are null where the days before had "]),
        (day(99, value=pa.nulls(ROWS, pa.float64())), ["value: 100.0% are null where the days before had 0.0%"]),
        (day(99, device=["phone"] * ROWS), ["device: 0.0% are null where the days before had 100.0%"]),
        (day(99, event_type=["click"] * ROWS), ["event_type: its values moved by a stability index of "]),
        (day(99, region=["north"] * ROWS), ["region: its values moved by a stability index of "]),
        (
            day(99, 100, region=["north"] * 100, event_type=["click"] * 100),
            ["rows: 100 where the 14 days before had 2,000 at the median (less than 1/10)"],
        ),
    ],
)
def test_a_day_is_held_for_what_was_planted_and_nothing_else(suspect: dict[str, Any], expected: list[str]) -> None:
    found = holds.reasons(suspect, BEFORE, SETTINGS)
    assert len(found) == len(expected)
    for reason, start in zip(found, expected):
        assert reason.startswith(start), reason


def test_a_shift_of_values_names_the_value_and_its_shares() -> None:
    (reason,) = holds.reasons(day(99, event_type=["click"] * ROWS), BEFORE, SETTINGS)
    assert reason.endswith("(more than 1; a single day has 0.00): click has 100.0% where the days before had 0.0%")


def test_every_reason_of_a_day_is_given() -> None:
    found = holds.reasons(day(99, 30_000, region=[None] * 30_000, event_type=["click"] * 30_000), BEFORE, SETTINGS)
    assert [reason.partition(":")[0] for reason in found] == ["rows", "event_type", "region"]


def test_stores_that_come_and_go_by_chance_are_no_shift_but_half_of_them_gone_is() -> None:
    rng = np.random.default_rng(5)
    stores = np.array([f"store {i}" for i in range(150)])

    def shop(open_stores: np.ndarray) -> dict[str, Any]:
        """Some 100 baskets of 20 lines each: few stores of a day, and others on the next."""
        return summary.summarise(pa.table({"region": np.repeat(rng.choice(open_stores, 100), 20)}))

    before = [shop(stores) for _ in range(DAYS)]
    settings = dataclasses.replace(SETTINGS, hold_category_psi=0.5)
    assert not any(holds.reasons(shop(stores), before, settings) for _ in range(5))
    assert all(holds.reasons(shop(stores[:15]), before, settings) for _ in range(5))


def test_the_newest_day_need_not_be_over() -> None:
    """What the days before had by its last hour is what it is held to; elsewhere a day that broke off is held."""
    hour = 3_600_000
    before = [day(seed, event_time=np.arange(ROWS) * (24 * hour) // ROWS) for seed in range(DAYS)]

    def until(rows: int, hours: int) -> dict[str, Any]:
        return day(99, rows, event_time=np.arange(rows) * (hours * hour) // rows)

    assert holds.reasons(until(160, 2), before, SETTINGS, running=True) == []
    assert len(holds.reasons(until(160, 2), before, SETTINGS)) == 1
    assert holds.reasons(until(1_000, 12), before, SETTINGS, running=True) == []
    assert holds.reasons(until(90, 12), before, SETTINGS, running=True) == [
        "rows: 90 where the 14 days before, by 12:00, had 1,000 at the median (less than 1/10)"
    ]
    assert len(holds.reasons(until(25_000, 12), before, SETTINGS, running=True)) == 1
    assert holds.reasons(day(99, 0), before, SETTINGS, running=True) == []


def test_only_the_last_days_of_history_count() -> None:
    long_ago = [day(seed, 10_000) for seed in range(DAYS)]
    small = [day(seed, 600) for seed in range(DAYS)]
    assert holds.reasons(day(99, 700), [*long_ago, *small], SETTINGS) == []
    assert holds.reasons(day(99, 700), [*small, *long_ago], dataclasses.replace(SETTINGS, hold_volume_ratio=5.0))


@examples(max_examples=60, deadline=None)
@given(st.integers(0, DAYS - 1), st.integers(0, 3 * ROWS), st.sampled_from(["", "null", "type"]))
def test_nothing_is_held_without_enough_history(known: int, rows: int, fault: str) -> None:
    changes: dict[str, Any] = {"null": {"region": [None] * rows}, "type": {"event_type": ["click"] * rows}}.get(
        fault, {}
    )
    assert holds.reasons(day(7, rows, **changes), BEFORE[:known], SETTINGS) == []
    assert holds.reasons(day(7, rows, **changes), SMALL, SETTINGS) == []


@examples(max_examples=60, deadline=None)
@given(st.integers(1, 20 * ROWS), st.floats(1.5, 50))
def test_the_volume_is_judged_by_the_ratio_alone(rows: int, ratio: float) -> None:
    settings = dataclasses.replace(SETTINGS, hold_volume_ratio=ratio)
    held = holds.reasons({"rows": rows, "fields": {}}, [*map(summary.slim, BEFORE)], settings)
    assert bool(held) == (rows < ROWS / ratio or rows > ROWS * ratio)


@pytest.fixture(scope="module")
def grocer() -> list[dict[str, Any]]:
    """Every day of a year of purchases of the default data set: slim summaries, oldest first."""
    config = configuration.load("configs/completejourney.toml")
    table, found = config.source.events, []
    (piece,) = source.pieces(table.url, 1 << 40)
    rows = ingest.map_rows(source.read(piece, [*table.columns.values()]), table, config.name, "log", 0, 0)
    days = rows.column("event_time").to_numpy() // 86_400_000
    order = np.argsort(days, kind="stable")
    bounds = np.flatnonzero(np.diff(days[order], prepend=-1, append=1 << 40))
    rows = rows.take(pa.array(order))
    for start, stop in zip(bounds, bounds[1:]):
        found.append(summary.slim(summary.summarise(rows.slice(start, stop - start))))
    return found


def test_no_day_of_a_real_year_is_held(grocer: list[dict[str, Any]]) -> None:
    """Thanksgiving has a third of the usual rows, the Sunday before Christmas twice as many."""
    assert len(grocer) == 365
    held = [holds.reasons(each, grocer[:i], SETTINGS) for i, each in enumerate(grocer)]
    assert not any(held)


def test_a_day_of_the_real_year_that_lost_its_stores_is_held(grocer: list[dict[str, Any]]) -> None:
    spoiled = {**grocer[200], "fields": {**grocer[200]["fields"]}}
    spoiled["fields"]["region"] = {"nulls": 0, "counts": {"367": spoiled["rows"]}, "other": 0}
    (reason,) = holds.reasons(spoiled, grocer[:200], SETTINGS)
    assert "367 has 100.0% where the days before had" in reason
