"""The quality rules: the collector's verdict on every row, and the data set's own after it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.config import QualitySettings
from contracts.errors import EventError
from contracts.events import FIELDS, LIMITS, Reason, validate
from etl import ingest, quality
from etl.quality import Context
from tests import strategies

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
    found, rules = quality.judge(columns, Context(strategies.NOW_MS))
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


@pytest.mark.parametrize(
    ("rules", "row", "reason"),
    [
        ({"allowed": {"region": ("north", "south")}}, {"region": "east"}, Reason.NOT_ALLOWED),
        ({"allowed": {"region": ("north", "south")}}, {"region": "north"}, None),
        ({"allowed": {"region": ("north", "south")}}, {}, None),
        ({"ranges": {"value": (0.0, 10.0)}}, {"value": 10.01}, Reason.OUT_OF_RANGE),
        ({"ranges": {"value": (0.0, 10.0)}}, {"value": 10.0}, None),
        ({"ranges": {"quantity": (2.0, 5.0)}}, {"quantity": 1}, Reason.OUT_OF_RANGE),
        ({"required": {"purchase": ("quantity",)}}, {}, Reason.MISSING_FIELD),
        ({"required": {"click": ("quantity",)}}, {}, None),
        ({"references": ("item_id",)}, {"item_id": "unheard-of"}, Reason.UNKNOWN_REFERENCE),
        ({"references": ("item_id",)}, {"item_id": "i"}, None),
        # An update may be the first to name an item.
        ({"references": ("item_id",)}, {"item_id": "new", "event_type": "item_update", "attributes": []}, None),
        # The contract's reasons come first.
        ({"ranges": {"quantity": (2.0, 5.0)}}, {"quantity": 500}, Reason.QUANTITY_OUT_OF_RANGE),
    ],
)
def test_a_data_set_s_own_rules_refuse_what_they_name_and_nothing_else(
    rules: dict[str, Any], row: dict[str, Any], reason: Reason | None
) -> None:
    table = pa.Table.from_pylist([{**GOOD, **row}, GOOD | {"quantity": 3}], schema=ingest.SCHEMA)
    context = Context(strategies.NOW_MS, QualitySettings(**rules), {"item_id": pa.array(["i", "j"])})
    verdict, found = quality.judge(table, context)
    assert [found[v].reason if v >= 0 else None for v in verdict] == [reason, None]


def test_a_row_that_falls_far_behind_the_newest_before_it_is_out_of_order() -> None:
    table = pa.Table.from_pylist([GOOD] * 3, schema=ingest.SCHEMA)
    context = Context(strategies.NOW_MS, QualitySettings(max_disorder_hours=1))
    verdict, found = quality.judge(table, context, np.array([0, 3_600_000, 3_600_001]))
    assert verdict.tolist() == [-1, -1, 0] and found[0].reason is Reason.OUT_OF_ORDER
    assert quality.judge(table, context)[0].tolist() == [-1, -1, -1], "a replayed row has no order any more"
