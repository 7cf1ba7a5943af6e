"""The baselines of the moment by hand: the hour before a request, the day before it, what goes with its newest item."""

import dataclasses

import made_shop
import numpy as np
import pytest
from scipy import sparse

from contracts.artifacts import Zones, write_manifest
from contracts.features import MS_PER_DAY, MS_PER_HOUR
from train.baselines import moments
from train.baselines.task import Demand, Task
from train.tables import Catalogue

NOW = 20_000 * MS_PER_DAY + 10 * MS_PER_HOUR
#: When each item was taken, hours before the request; a negative one is after it.
TAKEN = {"a": [2, 2, 2, 2], "b": [0.5, 0.9], "c": [0.1, 0.2, 0.3, -0.1], "d": [11, 12, 13, 35], "e": [0, 0, 0, 0, 0]}


@pytest.fixture(scope="module")
def answered(tmp_path_factory, world):
    """Lists of two requests at once: one knows nothing, the other has just taken "c"."""
    zones = Zones(str(tmp_path_factory.mktemp("moments")))
    events = [(int(NOW - hours * MS_PER_HOUR), item) for item, ages in TAKEN.items() for hours in ages]
    times, items = zip(*events)
    made_shop.write(
        f"{zones.processed}/events/part.parquet",
        {"event_time": list(times), "item_id": list(items), "event_type": ["click"] * len(events)},
    )
    write_manifest(zones.processed, "p", cut=NOW - 10 * MS_PER_HOUR)
    made_shop.write(
        f"{zones.features}/requests.parquet",
        {"request_id": ["r0", "r1"], "kind": ["test"] * 2, "recent_item_ids": [["nowhere"], ["c", "a"]]},
    )
    # Of the last three days: c then d once, b then c twice. Of the day of the request and of long ago: c then e.
    day = 20_000
    made_shop.write(
        f"{zones.features}/covisits.parquet",
        {
            "bucket": [day - 1, day - 3, day, day - 4],
            "item_code": [5, 4, 5, 5],
            "next_code": [6, 5, 7, 7],
            "count": [1, 2, 9, 9],
        },
    )
    held = Catalogue(np.array(list(TAKEN)), {}, {}, np.array(["u"]), {}, {})
    nothing = sparse.csr_matrix((2, 5), dtype=np.float32)
    seen = sparse.csr_matrix(np.array([[0, 0, 0, 0, 0], [0, 0, 1, 0, 0]], np.float32))
    demand = Demand(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), 1440)
    task = Task(nothing, seen, np.full(2, -1), np.full(2, NOW), demand, exclude_seen=True, dense_items=5, seed=1)
    features = dataclasses.replace(world.config.features, covisit_half_lives_hours=(1.0,))
    return moments.lists(dataclasses.replace(world.config, features=features), zones, held, task)


def test_the_last_hour_ends_strictly_before_the_request(answered):
    first, second = answered["popular_last_hour"][:, :2].tolist()
    assert first == [5, 4], "three of c, two of b; what happened at the instant itself is not known"
    assert second[0] == 4, "what was seen is left out"


def test_the_day_before_is_the_whole_utc_day(answered):
    assert answered["popular_day_before"][0, 0] == 6, "three of d between midnight and midnight"


def test_what_goes_with_the_newest_item_is_counted_before_the_cut_both_ways(answered):
    assert answered["covisits"][1, :2].tolist() == [4, 6], (
        "b twice before c, d once after it; e only when it is too late"
    )
