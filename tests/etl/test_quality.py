"""The quality rules: the collector's verdict on every row, and duplicates wherever they lie."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import artifacts
from contracts.config import load
from contracts.errors import EventError
from contracts.events import FIELDS, LIMITS, Reason, validate
from etl import cluster, ingest, quality, store
from tests import strategies

ROOT = Path(__file__).parents[2]
#: What a typed table can hold of wrong values, by field.
WRONG: dict[str, st.SearchStrategy[Any]] = {
    "event_type": st.sampled_from(["teleport", "Purchase"]),
    "event_time": st.integers(-(2**62), 2**62),
    "quantity": st.integers(-5, 500),
    "value": st.sampled_from([-1.0, -0.0, math.inf, -math.inf]),
    "position": st.integers(-3, 3),
    "user_id": st.just("u" * (LIMITS.max_id_chars + 1)),
    "session_id": st.text(min_size=LIMITS.max_id_chars, max_size=LIMITS.max_id_chars + 1),
}


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    """An event that may lack fields or hold wrong values; maps are left out, for no table of a source has them."""
    row = {name: value for name, value in draw(strategies.raw_events()).items() if name != "attributes"}
    for name in draw(st.lists(st.sampled_from([*WRONG]), max_size=2)):
        row[name] = draw(WRONG[name])
    for name in draw(st.lists(st.sampled_from([field.name for field in FIELDS]), max_size=2)):
        row.pop(name, None)
    return row


def verdicts(table: list[dict[str, Any]]) -> list[str | None]:
    columns = pa.Table.from_pylist(
        [{**row, "unreadable": row.get("unreadable")} for row in table], schema=ingest.SCHEMA
    )
    found, rules = quality.judge(columns, strategies.NOW_MS)
    return [None if index < 0 else rules[index].reason.value for index in found]


@settings(max_examples=300, deadline=None)
@given(st.lists(rows(), min_size=1, max_size=5))
def test_a_row_gets_the_reason_that_the_collector_would_give(table: list[dict[str, Any]]) -> None:
    expected: list[str | None] = []
    for row in table:
        try:
            validate(row, strategies.NOW_MS)
            expected.append(None)
        except EventError as error:
            expected.append(error.code)
    assert verdicts(table) == expected


GOOD = {"event_id": "e", "event_type": "purchase", "event_time": strategies.NOW_MS, "user_id": "u", "item_id": "i"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"quantity": LIMITS.max_quantity}, None),
        ({"quantity": 0}, None),
        ({"quantity": LIMITS.max_quantity + 1}, Reason.QUANTITY_OUT_OF_RANGE),
        ({"quantity": -1}, Reason.QUANTITY_OUT_OF_RANGE),
        ({"event_time": strategies.NOW_MS + LIMITS.max_ahead_ms + 1}, Reason.TIME_OUT_OF_RANGE),
        ({"event_time": LIMITS.min_event_time - 1}, Reason.TIME_OUT_OF_RANGE),
        ({"event_time": None}, Reason.MISSING_FIELD),
        ({"user_id": None}, Reason.MISSING_FIELD),
        ({"event_type": "rating"}, Reason.MISSING_FIELD),
        ({"event_type": "impression"}, Reason.MISSING_FIELD),
        ({"event_type": "nod"}, Reason.UNKNOWN_TYPE),
        ({"value": -0.01}, Reason.NEGATIVE_VALUE),
        ({"value": math.nan}, Reason.WRONG_TYPE),
        ({"unreadable": "quantity=many"}, Reason.WRONG_TYPE),
        ({"item_id": "i" * (LIMITS.max_id_chars + 1)}, Reason.TOO_LONG),
    ],
)
def test_each_rule_has_its_reason(change: dict[str, Any], reason: Reason | None) -> None:
    assert verdicts([{**GOOD, **change}]) == [reason.value if reason else None]


def test_of_events_with_one_id_the_first_day_s_first_row_stays(tmp_path: Path) -> None:
    """Across tasks as within one; a refused row takes no id, and a day may lose all."""
    zone = artifacts.Zones(str(tmp_path))
    day = 86_400_000
    start = strategies.NOW_MS - 60 * day
    made = [
        {**GOOD, "event_id": f"e{i % 50}", "event_time": start + (i // 2) * day // 2, "item_id": f"i{i}"}
        for i in range(120)
    ]
    made.append({**GOOD, "event_id": "e7", "event_time": start - day, "quantity": 999, "item_id": "refused"})
    store.write_by_day(pa.Table.from_pylist(made, schema=ingest.SCHEMA), f"{zone.raw}/history", "part-0")
    with cluster.connect("", len(made)) as client:
        facts = quality.run(load(ROOT / "configs/smoke.toml"), zone, client, strategies.NOW_MS)
    kept = store.read_days(f"{zone.processed}/events", store.days(f"{zone.processed}/events")).to_pandas()
    assert sorted(kept["item_id"], key=lambda item: int(item[1:])) == [f"i{i}" for i in range(50)]
    assert facts["events"] == 50 and facts["quarantined"] == 71
    assert facts["quarantined_by_reason"] == {"duplicate": 70, "quantity_out_of_range": 1}
    refused = store.read_days(zone.quarantine, store.days(zone.quarantine)).to_pandas()
    assert len(refused) == 71
    assert (facts["log_start"], facts["log_end"]) == (kept["event_time"].min(), kept["event_time"].max())


def test_hashes_that_collide_cost_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "hash64", lambda texts: np.zeros(len(texts), np.uint64))
    zone = artifacts.Zones(str(tmp_path))
    made = [{**GOOD, "event_id": f"e{i}"} for i in range(5)] + [{**GOOD, "event_id": "e3"}]
    store.write_by_day(pa.Table.from_pylist(made, schema=ingest.SCHEMA), f"{zone.raw}/history", "part-0")
    with cluster.connect("", len(made)) as client:
        facts = quality.run(load(ROOT / "configs/smoke.toml"), zone, client, strategies.NOW_MS)
    assert (facts["events"], facts["quarantined"]) == (5, 1)
