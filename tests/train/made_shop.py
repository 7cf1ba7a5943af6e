"""A seeded shop whose truth is known: users of group g take items of department g, nine times of ten."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts import config as settings
from contracts.artifacts import Zones, write_json, write_manifest, zones
from contracts.config import Config
from contracts.evaluation import COLD_STEPS, WHOLE_HISTORY, Kind
from contracts.features import MS_PER_DAY, ranker_categorical, ranker_continuous

GROUPS, ITEMS, USERS, RECENT = 4, 60, 160, 8
DAY = MS_PER_DAY
ENDS = {"retrieval_end": 40 * DAY, "ranker_end": 50 * DAY, "cut": 55 * DAY, "log_end": 60 * DAY}
#: Users whose id the models do not know: the last ones.
UNKNOWN_FROM = 150


@dataclasses.dataclass(frozen=True)
class World:
    config: Config
    zones: Zones

    def group_of_item(self, code):
        return (np.asarray(code) - 3) % GROUPS

    def user(self, number):
        return f"u{number:03d}"


def make(folder, whole=None) -> World:
    """A shop below a folder, of ``SETTINGS`` or others."""
    config = settings.parse(whole or SETTINGS, "test")
    zone = zones(str(folder), config)
    rng = np.random.default_rng(3)
    log = _log(rng)
    segments = _statics(config, zone, rng)
    _events(zone, log)
    _rows(zone, log, segments)
    _buckets(zone, log)
    write_manifest(zone.processed, "processed-1", **ENDS)
    write_manifest(zone.features, "features-1")
    return World(config, zone)


SETTINGS = {
    "name": "shop",
    "source": {
        "events": {"url": "x", "columns": {"user_id": "u", "item_id": "i", "event_time": "t"}},
        "items": {"url": "x", "columns": {"item_id": "i", "department": "d", "price": "p"}},
        "users": {"url": "x", "columns": {"user_id": "u", "segment": "s"}},
    },
    "features": {
        "user_categorical": ["segment"],
        "item_categorical": ["department"],
        "item_numeric": ["price"],
        "category": "department",
        "recent_items": RECENT,
        "popularity_half_lives_hours": [168, 720],
    },
    "windows": {"retrieval_end": "2024-01-01", "ranker_end": "2024-01-02", "cut": "2024-01-03"},
    "train": {
        "embedding_dim": 16,
        "retrieval_epochs": 6,
        "retrieval_batch": 128,
        "learning_rate": 0.01,
        "item_item_neighbours": 10,
        "item_item_regularization": 5.0,
        "ranker_epochs": 4,
        "ranker_batch": 256,
    },
    "serve": {},
}


def _log(rng):
    """(user, time, item code) of all interactions: 12 visits a user, 3 items each."""
    found = []
    for user in range(USERS):
        for time in np.sort(rng.integers(0, 60 * 24, 12)) * (DAY // 24):
            for _ in range(3):
                own = rng.random() < 0.9
                number = rng.integers(ITEMS // GROUPS) * GROUPS + user % GROUPS if own else rng.integers(ITEMS)
                found.append((user, int(time), int(number) + 3))
    return sorted(found)


def _statics(config, zone, rng):
    codes = np.arange(ITEMS) + 3
    items = {
        "item_id": [f"i{n:02d}" for n in range(ITEMS)],
        "item_code": codes,
        "department": [f"d{n % GROUPS}" for n in range(ITEMS)],
        "department_code": np.arange(ITEMS) % GROUPS + 3,
        "price": rng.random(ITEMS),
    }
    write(zone.features + "/items.parquet", items)
    numbers = np.arange(USERS)
    users = {
        "user_id": [f"u{n:03d}" for n in numbers],
        "user_id_code": np.where(numbers < UNKNOWN_FROM, numbers + 3, 2),
        # Says nothing about the group, so that what is learned comes from behaviour.
        "segment_code": rng.integers(3, 5, USERS),
    }
    write(zone.features + "/users.parquet", users)
    encodings = {
        "user_id": users["user_id"][:UNKNOWN_FROM],
        "item_id": items["item_id"],
        "segment": ["a", "b"],
        "department": [f"d{n}" for n in range(GROUPS)],
        "price": {"mean": 0.5, "std": 0.3},
    }
    write_json(zone.features + "/encodings.json", encodings)
    return ["ab"[code - 3] for code in users["segment_code"]]


def _events(zone, log):
    table = {
        "user_id": [f"u{user:03d}" for user, _, _ in log] + ["u000"],
        "item_id": [f"i{code - 3:02d}" for _, _, code in log] + ["i59"],
        "event_time": [time for _, time, _ in log] + [1],
        # Shown is not taken: an impression counts nowhere.
        "event_type": ["purchase"] * len(log) + ["impression"],
    }
    write(zone.processed + "/events/day=1970-01-01/part-0.parquet", table)


def _rows(zone, log, segments):
    names = ("A", "B", "C")
    ends = [ENDS["retrieval_end"], ENDS["ranker_end"], ENDS["cut"]]
    rows = {name: [] for name in names}
    truth, seen = [], []
    for user in range(USERS):
        own = [(time, code) for who, time, code in log if who == user]
        for time in sorted({time for time, _ in own}):
            before = [(t, code) for t, code in own if t < time]
            new = sorted({code for t, code in own if t == time} - {code for _, code in before})
            window = np.searchsorted(ends, time, "right")
            if new and window < 3:
                rows[names[window]].append({**_row(len(rows["A"]), user, time, before, new), "segment": segments[user]})
        taken = {code for t, code in own if t < ENDS["cut"]}
        late = sorted({code for t, code in own if t >= ENDS["cut"]} - taken)
        truth.append((f"u{user:03d}", late, [f"i{code - 3:02d}" for code in late]))
        seen.append(sorted(f"i{code - 3:02d}" for code in taken))
    for name in names:
        held = rows[name]
        table = {key: [row[key] for row in held] for key in held[0]}
        table["row_id"] = list(range(len(held)))
        write(f"{zone.features}/rows/window={name}/part-0.parquet", table)
    evidence = [sum(time < ENDS["cut"] for who, time, _ in log if who == user) for user in range(USERS)]
    _requests(zone, truth, seen, evidence, segments)


def _requests(zone, truth, seen, evidence, segments):
    """Everybody as known, then everybody as if little were known."""
    steps = (WHOLE_HISTORY, *COLD_STEPS)
    ids = [[user if n < 0 else f"cold:{n}:{user}" for user, _, _ in truth] for n in steps]
    asked = {
        "request_id": sum(ids, []),
        "user_id": sum(ids, []),
        "kind": [Kind.TEST] * USERS + [Kind.COLD] * USERS * len(COLD_STEPS),
        "known_events": np.repeat(np.array(steps, np.int32), USERS),
        "interaction_count": evidence + np.repeat(COLD_STEPS, USERS).tolist(),
        "home_region": ["north" if n // 2 % 2 else "" for n in range(USERS)] * len(steps),
        "segment": segments * len(steps),
        "as_of": np.full(USERS * len(steps), ENDS["cut"]),
        "seen_item_ids": seen * len(steps),
    }
    write(zone.features + "/requests.parquet", asked)
    users, codes, names = (list(column) * len(steps) for column in zip(*truth))
    truth = {"request_id": asked["request_id"], "user_id": users, "item_codes": codes, "item_ids": names}
    write(zone.features + "/truth.parquet", truth)


def _row(number, user, time, before, new):
    recent = before[::-1][:RECENT]
    return {
        "row_id": number,
        "user_id": f"u{user:03d}",
        "as_of": time,
        "recent_item_codes": [code for _, code in recent],
        "recent_event_times": [t for t, _ in recent],
        "interaction_count": len(before),
        "seen_item_codes": sorted({code for _, code in before}),
        "target_item_codes": new,
    }


def _buckets(zone, log):
    columns = {
        "bucket": [time // DAY for _, time, _ in log],
        "region": [""] * len(log),
        "item_code": [code for _, _, code in log],
        "count": [1] * len(log),
    }
    write(zone.features + "/buckets.parquet", columns)


def write_candidates(world: World, rng, requests: int = 60, number: int = 60):
    """Candidates of windows B and C whose taking depends on ``recent_share_department`` and hardly on retrieval."""
    for window in "BC":
        count = requests * number
        share = rng.random(count)
        taken = rng.random(count) < 1 / (1 + np.exp(-(8 * share - 6)))
        columns = {"row_id": np.repeat(np.arange(requests), number), "label": taken.astype(np.int8)}
        columns["user_id"] = [f"u{row % USERS:03d}" for row in columns["row_id"]]
        for name in ranker_categorical(world.config.features):
            columns[f"c_{name}"] = rng.integers(3, 5, count)
        for name in ranker_continuous(world.config.features):
            columns[f"x_{name}"] = rng.normal(50, 10, count).astype(np.float32)
        # A shop whose log holds no reports of dwell.
        columns["x_session_dwell"] = np.zeros(count, np.float32)
        # Standardised in the request by contract, and slightly better than chance.
        columns["x_two_tower_score"] = (rng.normal(0, 1, count) + 0.3 * taken).astype(np.float32)
        columns["x_similar_score"] = rng.normal(0, 1, count).astype(np.float32)
        columns["x_recent_share_department"] = share.astype(np.float32)
        columns |= {"evidence": np.full(count, 30), "trending_score": rng.random(count), "in_session": np.zeros(count)}
        write(f"{world.zones.candidates}/window={window}/part-0.parquet", columns)
    write_manifest(world.zones.candidates, "candidates-1", windows={"cold": {"found": 0}})


def write(path, columns):
    import os

    os.makedirs(os.path.dirname(path), exist_ok=True)
    pq.write_table(pa.table(columns), path)
