"""The batch twin of the folds: equal to them row for row, and blind to what has not happened yet."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import folds
from contracts.config import FeatureSettings, load
from contracts.features import count_column, user_behaviour
from contracts.folds import Dwell, Interaction
from etl import behaviour, history, rows
from tests import strategies

ROOT = Path(__file__).parents[2]
SMOKE = load(ROOT / "configs/smoke.toml").features


def table(logs: Mapping[str, Sequence[Interaction | Dwell]]) -> pa.Table:
    """Users' events in the order given."""
    columns: dict[str, list[Any]] = {name: [] for name in history.COLUMNS}
    for user, log in logs.items():
        for event in log:
            if isinstance(event, Dwell):
                values = (user, "dwelt on", event.event_time, event.event_id, "a region", "a category", event.ms)
            else:
                values = (user, event.item_id, event.event_time, event.event_id, None, event.category, None)
            for name, value in zip(history.COLUMNS, values):
                columns[name].append(value)
    types = {"event_time": pa.int64(), "dwell_ms": pa.int64()}
    return pa.table({name: pa.array(values, types.get(name, pa.string())) for name, values in columns.items()})


def streamed(log: Sequence[Interaction | Dwell], as_of: int, features: FeatureSettings) -> dict[str, Any]:
    """What the processor would hold of the events strictly earlier than ``as_of``."""
    state = folds.EMPTY
    for event in sorted(log, key=lambda event: event[:2]):
        if event.event_time < as_of:
            state, _ = folds.update(state, event, features)
    return folds.row(state, features)


def assert_same(found: Mapping[str, Any], expected: Mapping[str, Any], features: FeatureSettings) -> None:
    counts = {count_column(hours) for hours in features.count_half_lives_hours}
    assert set(found) == set(expected)
    for name, value in expected.items():
        if name in counts:
            np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-12, err_msg=name)
        else:
            assert found[name] == value, name


def batch(
    logs: Mapping[str, Sequence[Interaction | Dwell]], queries: Sequence[tuple[str, int]], features: FeatureSettings
) -> list[dict[str, Any]]:
    log = history.build(table(logs))
    number = log.number([user for user, _ in queries])
    return behaviour.rows(log, number, np.array([as_of for _, as_of in queries], np.int64), features).to_pylist()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(strategies.folded_events(), min_size=1, max_size=4),
    strategies.settings,
    st.lists(st.integers(-1, 24 * 91), max_size=4),
)
def test_batch_rows_equal_streamed_rows_at_every_instant(
    logs: list[list[Interaction | Dwell]], features: FeatureSettings, hours: list[int]
) -> None:
    users = {f"u{i}": log for i, log in enumerate(logs)}
    queries = [("a stranger", 1_700_000_000_000)]
    for user, log in users.items():
        instants = {event.event_time for event in log}
        instants |= {time + 1 for time in instants} | {946_684_800_000 + hour * 3_600_000 for hour in hours}
        queries += [(user, as_of) for as_of in sorted(instants)]
    for (user, as_of), found in zip(queries, batch(users, queries, features)):
        assert_same(found, streamed(users.get(user, []), as_of, features), features)


def test_a_row_has_every_column_of_the_view_even_when_nobody_did_anything() -> None:
    (row,) = batch({}, [("u0", 5)], SMOKE)
    view = user_behaviour(SMOKE)
    assert row == {name: list(value) if value == () else value for name, value in view.empty_row().items()}


def test_a_year_of_hourly_half_lives_stays_exact() -> None:
    """A cumulative sum of forward-decayed weights would need 2 ** 8760 here."""
    rng = np.random.default_rng(3)
    times = 1_500_000_000_000 + np.sort(rng.integers(0, 365 * 24 * 3_600_000, 2_000))
    log = [Interaction(int(time), f"e{i:05d}", "i", "c") for i, time in enumerate(times)]
    for as_of in (*times[::400], times[-1] + 1):
        (found,) = batch({"u": log}, [("u", int(as_of))], SMOKE)
        assert_same(found, streamed(log, int(as_of), SMOKE), SMOKE)


def test_a_report_of_dwell_is_seen_in_no_other_feature_and_makes_nobody_known() -> None:
    bought = [Interaction(1_000, "e", "i", "c")]
    reports = [Dwell(1_000, "d1", 5), Dwell(2_000, "d2", 7)]
    queries = [("u", 2_000), ("u", 2_001), ("silent", 9_000)]
    without = batch({"u": bought}, queries, SMOKE)
    found = batch({"u": [*bought, *reports], "silent": reports}, queries, SMOKE)
    assert [row.pop("session_dwell_ms") for row in found] == [5, 12, 0]
    assert [{**row, "session_dwell_ms": 0} for row in found] == without
    assert history.build(table({"u": bought, "silent": reports})).users.tolist() == ["u"]


@settings(max_examples=40, deadline=None)
@given(strategies.logs(), strategies.logs(), st.integers(0, 24 * 90))
def test_what_happens_at_or_after_an_instant_never_changes_its_row(
    past: list[Interaction], other: list[Interaction], hour: int
) -> None:
    as_of = 946_684_800_000 + hour * 3_600_000
    earlier = [event for event in past if event.event_time < as_of]
    another = [event._replace(event_id=f"x{event.event_id}", category="new") for event in other]
    future = [event for event in another if event.event_time >= as_of]
    simultaneous = [Interaction(as_of, f"s{i}", "a", "wine") for i in range(3)]
    assert feature_row(earlier, as_of) == feature_row([*earlier, *future, *simultaneous], as_of)


def feature_row(log: Sequence[Interaction], as_of: int) -> dict[str, Any]:
    """Both views of one user."""
    built = history.build(table({"u": log}))
    return rows.features(built, built.number(["u"]), np.array([as_of]), SMOKE, seen=True).table.to_pylist()[0]


def test_the_parity_command_computes_the_rows_of_given_pairs(tmp_path: Path) -> None:
    """A second row of an event id is dropped, and types other than interactions and dwell say nothing."""
    events = pd.DataFrame(
        {
            "event_id": ["a", "b", "b", "c", "d", "e"],
            "event_type": ["purchase", "view", "view", "impression", "click", "dwell"],
            "event_time": [1_000, 2_000, 2_000, 2_500, 3_000, 2_999],
            "user_id": "u",
            "item_id": ["i1", "i2", "i2", "i3", "i4", "i2"],
            "category": ["wine", "", "", "wine", "fruit", "wine"],
            "value": [1.5, None, None, None, None, 1_234.9],
        }
    )
    events.to_parquet(tmp_path / "events.parquet")
    queries = pd.DataFrame({"user_id": ["u", "nobody", "u"], "as_of": [3_000, 3_000, 3_001]})
    queries.to_parquet(tmp_path / "queries.parquet")
    command = [sys.executable, "-m", "etl", "behaviour", "--config", "configs/smoke.toml"]
    for name in ("events", "queries", "out"):
        command += [f"--{name}", str(tmp_path / f"{name}.parquet")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert found[["user_id", "as_of"]].equals(queries)
    assert [list(items) for items in found["recent_item_ids"]] == [["i2", "i1"], [], ["i4", "i2", "i1"]]
    assert [list(names) for names in found["count_categories"]] == [["", "wine"], [], ["", "fruit", "wine"]]
    assert found["session_dwell_ms"].tolist() == [1_234, 0, 1_234]


@pytest.mark.parametrize("hours", [(1,), (1, 24, 720)])
def test_there_is_a_column_of_counts_for_every_half_life(hours: tuple[int, ...]) -> None:
    features = dataclasses.replace(SMOKE, count_half_lives_hours=hours)
    (row,) = batch({"u": [Interaction(0, "e", "i", "c")]}, [("u", 3_600_000)], features)
    assert [row[count_column(each)] for each in hours] == [[1.0]] * len(hours)
