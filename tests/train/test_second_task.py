import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from made_shop import DAY, write

from train import second_task

#: User, item, time and value of the shop's events, by type.
EVENTS = {
    "purchase": [("u1", "i0", 5 * DAY, 4.0), ("u1", "i0", 5 * DAY, 5.0), ("u1", "i1", 5 * DAY, 1.0)],
    "dwell": [
        ("u1", "i0", 5 * DAY + 9, 30.0),
        ("u1", "i0", 6 * DAY, 12.0),
        ("u1", "i0", 6 * DAY + 1, 99.0),
        ("u1", "i1", 5 * DAY, 7.0),
    ],
}


@pytest.fixture(scope="module")
def zones(world, tmp_path_factory):
    held = type(world.zones)(str(tmp_path_factory.mktemp("second")))
    rows = [(*row, kind) for kind, listed in EVENTS.items() for row in listed]
    # Another user's, another instant's, and one that says nothing.
    rows += [("u2", "i0", 5 * DAY, 70.0, "purchase"), ("u1", "i0", 4 * DAY, 80.0, "purchase")]
    rows += [("u3", "i1", 5 * DAY, None, "purchase")]
    names = ("user_id", "item_id", "event_time", "value", "event_type")
    write(f"{held.processed}/events/part-0.parquet", dict(zip(names, (list(column) for column in zip(*rows)))))
    write(f"{held.features}/items.parquet", {"item_id": ["i0", "i1"]})
    return held


def targets(world, zones, task):
    config = dataclasses.replace(world.config, train=dataclasses.replace(world.config.train, second_task=task))
    asked = pa.table(
        {
            "user_id": ["u1", "u1", "u3", "u1"],
            "as_of": [5 * DAY] * 4,
            "item_code": [3, 4, 4, 4],
            # The last was not taken: what its user paid for it is not its hit's.
            "label": [1, 1, 1, 0],
        }
    )
    assert set(second_task.columns(config)) <= {*asked.column_names}
    return second_task.targets(config, zones, asked)


def test_value_is_the_sum_of_the_events_of_that_user_item_and_instant(world, zones):
    found = targets(world, zones, "value")
    logged = np.log1p([4.0 + 5.0, 1.0])
    np.testing.assert_allclose(found[:2], (logged - logged.mean()) / logged.std(), rtol=1e-5)
    assert np.isnan(found[2:]).all()


def test_dwell_is_the_sum_of_what_was_reported_within_a_day_of_the_hit(world, zones):
    found = targets(world, zones, "dwell")
    logged = np.log1p([30.0 + 12.0, 7.0])
    np.testing.assert_allclose(found[:2], (logged - logged.mean()) / logged.std(), rtol=1e-5)
    assert np.isnan(found[2:]).all()


def test_without_a_second_task_nothing_is_read(world):
    asked = pa.table({"label": [1, 0]})
    assert np.isnan(second_task.targets(world.config, None, asked)).all()
