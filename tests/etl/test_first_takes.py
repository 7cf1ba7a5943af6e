from pathlib import Path

import pyarrow as pa

from contracts.buckets import bucket_ms
from contracts.config import load
from etl import counted, first_takes, history, rows, store

FEATURES = load(Path(__file__).parents[2] / "configs/smoke.toml").features
DAY = bucket_ms(FEATURES)


def log_of(events):
    users, days, items = zip(*events)
    n = len(events)
    columns = {
        "user_id": users,
        "item_id": items,
        "event_time": [day * DAY for day in days],
        "event_id": [f"{users[0]}{i}" for i in range(n)],
        "region": ["north"] * n,
        "category": [""] * n,
        "dwell_ms": pa.array([None] * n, pa.int64()),
    }
    return history.build(pa.table(columns))


def test_each_user_counts_once_an_item_on_the_day_when_he_first_took_it(tmp_path):
    # "z" is in no catalogue; groups of users give their counts in parts.
    groups = [
        [("a", 1, "x"), ("a", 1, "x"), ("a", 2, "x"), ("a", 3, "y"), ("a", 3, "z")],
        [("b", 1, "x"), ("b", 4, "y"), ("c", 3, "y")],
    ]
    parts = []
    for number, events in enumerate(groups):
        log = log_of(events)
        found = first_takes.of(log, rows.catalogue_codes(log, ["x", "y"]), FEATURES)
        parts.append(f"{tmp_path}/part-{number}.parquet")
        store.write(found, parts[-1])
    counted.write(parts, first_takes.KEY, f"{tmp_path}/first_takes.parquet")
    found = store.read(f"{tmp_path}/first_takes.parquet").to_pydict()
    assert list(zip(*found.values())) == [(1, 3, 2), (3, 4, 2), (4, 4, 1)]
