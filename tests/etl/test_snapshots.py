"""What rows of windows B and C ask for, by hand: the next basket, or all of a horizon."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa

from contracts.features import FIRST_VALUE, MS_PER_DAY
from contracts.model_settings import TrainSettings
from etl import history, rows, snapshots
from etl.rows import Instants, Targets

ITEMS = ["a", "b", "c", "d", "e", "f"]
#: Days; A ends with the 10th, B with the 20th, C with the 27th.
INSTANTS = Instants(*(day * MS_PER_DAY for day in (10, 20, 27, 40, 41)))
#: User, day, item. "late" is known from the 12th on; what "old" takes on the 28th is the test's.
EVENTS = [
    ("late", 12, "a"),
    ("late", 14, "b"),
    ("late", 16, "c"),
    ("old", 1, "a"),
    ("old", 10, "b"),
    ("old", 11, "a"),
    ("old", 11, "c"),
    ("old", 17, "d"),
    ("old", 26, "e"),
    ("old", 28, "f"),
]


def asked(horizon_days: int) -> Targets:
    user, day, item = (list(column) for column in zip(*EVENTS))
    n = len(EVENTS)
    table = pa.table(
        {
            "user_id": user,
            "item_id": item,
            "event_time": np.asarray(day) * MS_PER_DAY,
            "event_id": [f"{i}" for i in range(n)],
            "region": ["r"] * n,
            "category": [""] * n,
            "dwell_ms": pa.nulls(n, pa.int64()),
        }
    )
    log = history.build(table)
    codes = rows.catalogue_codes(log, ITEMS)
    settings = dataclasses.replace(TrainSettings(), horizon_days=horizon_days)
    return snapshots.asked(log, rows.targets(log, codes), codes, INSTANTS, settings)


def listed(found: Targets) -> dict[tuple[str, int], str]:
    """(User, day) -> the items that are asked for."""
    ends = np.cumsum(found.sizes)
    assert len(found.codes) == ends[-1]
    lists = np.split(found.codes - FIRST_VALUE, ends[:-1])
    names = ["".join(sorted(ITEMS[code] for code in codes)) for codes in lists]
    days = (found.as_of // MS_PER_DAY).tolist()
    return {(["late", "old"][user], day): name for user, day, name in zip(found.user.tolist(), days, names)}


def test_without_a_horizon_a_row_asks_for_what_is_new_at_its_instant() -> None:
    found = listed(asked(0))
    assert found[("old", 11)] == "c" and found[("old", 17)] == "d" and found[("late", 14)] == "b"


def test_with_a_horizon_a_row_asks_for_all_that_is_new_until_its_end_or_the_windows() -> None:
    """The first snapshot of B knows nothing of "late", that of the 15th does. C has one whole horizon, to the 24th."""
    assert listed(asked(5)) == {("old", 10): "bc", ("old", 15): "d", ("late", 15): "c"}
    assert listed(asked(7)) == {("old", 10): "bc", ("old", 20): "e"}
    assert listed(asked(30)) == {("old", 10): "bcd", ("old", 20): "e"}


def test_rows_are_in_the_order_of_users_and_ask_from_home() -> None:
    found = asked(5)
    assert found.user.tolist() == sorted(found.user) and set(found.region) == {""}
