"""Requests at the instants of single interactions: which are asked for, what they know, and what is true of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from contracts.config import load
from contracts.features import OUT_OF_VOCABULARY
from etl import covisits, history, next_events, rows, timeline
from etl.history import History
from etl.rows import Instants

MINUTE, CUT = 60_000, 1_600_000_000_000 // 86_400_000 * 86_400_000
SMOKE = load(Path(__file__).parents[2] / "configs/smoke.toml")
#: Sessions end after half an hour; buckets are five minutes.
CONFIG = dataclasses.replace(
    SMOKE, features=dataclasses.replace(SMOKE.features, user_categorical=(), bucket_minutes=5, session_gap_minutes=30)
)
INSTANTS = Instants(CUT - 3_000_000, CUT - 2_000_000, CUT, CUT + 100 * MINUTE, CUT + 90 * MINUTE)
#: user, minutes after the cut, item; the order of ids is that of the rows.
EVENTS = [
    ("a", -10, "x"),
    ("a", 5, "y"),  # continues the session that began before the cut
    ("a", 40, "z"),  # opens one
    ("a", 41, "x"),  # two at once continue it
    ("a", 41, "y"),
    ("a", 95, "z"),  # after the test
    ("b", 1, "z"),  # the first of all
    ("b", 30, "new"),
]


@pytest.fixture(scope="module")
def log() -> History:
    users, minutes, items = zip(*EVENTS)
    n = len(EVENTS)
    columns = {
        "user_id": users,
        "item_id": items,
        "event_time": [CUT + minute * MINUTE for minute in minutes],
        "event_id": [f"e{i}" for i in range(n)],
        "region": ["north"] * n,
        "category": [""] * n,
        "dwell_ms": pa.array([None] * n, pa.int64()),
    }
    return history.build(pa.table(columns))


@pytest.fixture(scope="module")
def place(log: History) -> np.ndarray:
    return next_events.possible(log, INSTANTS, CONFIG)


def test_what_continues_a_session_within_the_test_window_is_asked_for_and_nothing_else(
    log: History, place: np.ndarray
) -> None:
    asked = [(log.users[log.user[p]], (int(log.time[p]) - CUT) // MINUTE, log.items[log.item[p]]) for p in place]
    assert asked == [("a", 5, "y"), ("a", 41, "x"), ("a", 41, "y"), ("b", 30, "new")]


def test_a_request_knows_nothing_of_its_instant_or_later(log: History, place: np.ndarray) -> None:
    nobody = timeline.Timeline(
        pa.table({"user_id": pa.array([], pa.string())}),
        pa.table({"user_id": pa.array([], pa.string()), "valid_from": pa.array([], pa.int64())}),
        "user_id",
    )
    table = next_events.requests(log, place, 100, CONFIG, nobody)
    assert table["as_of"].to_pylist() == [CUT + minute * MINUTE for minute in (5, 41, 41, 30)]
    assert table["recent_item_ids"].to_pylist() == [["x"], ["z", "y", "x"], ["z", "y", "x"], ["z"]]
    assert all(
        max(times) < as_of for times, as_of in zip(table["recent_event_times"].to_pylist(), table["as_of"].to_pylist())
    )
    assert [set(ids) for ids in table["seen_item_ids"].to_pylist()] == [{"x"}, {"x", "y", "z"}, {"x", "y", "z"}, {"z"}]
    assert table["request_id"].to_pylist() == [
        f"a:{CUT + 5 * MINUTE}:0",
        f"a:{CUT + 41 * MINUTE}:0",
        f"a:{CUT + 41 * MINUTE}:1",
        f"b:{CUT + 30 * MINUTE}:0",
    ]


def test_the_truth_is_the_one_item_and_one_outside_the_catalogue_can_only_be_missed(
    log: History, place: np.ndarray
) -> None:
    truth = next_events.truth(log, place, rows.catalogue_codes(log, ["z", "y", "x"]))
    assert truth["item_ids"].to_pylist() == [["y"], ["x"], ["y"], ["new"]]
    assert truth["item_codes"].to_pylist() == [[4], [5], [4], [OUT_OF_VOCABULARY]]
    assert truth["user_id"].to_pylist() == ["a", "a", "a", "b"]


def test_co_visits_are_pairs_in_a_row_of_one_session_in_the_bucket_of_the_later(log: History) -> None:
    found = covisits.of(log, rows.catalogue_codes(log, ["x", "y", "z"]), CONFIG.features)
    # Codes 3, 4, 5. From "x" before the cut to "y", from "z" to the first of two at once; "new" is in no catalogue.
    bucket = CUT // (5 * MINUTE)
    assert sorted(map(tuple, zip(*found.to_pydict().values()))) == [(bucket + 1, 3, 4, 1), (bucket + 8, 5, 3, 1)]
