"""Recorded answers of the made-up shop."""

import made_shop
import numpy as np

from contracts.artifacts import read_manifest, write_json, write_manifest
from train.judged import ANSWERED, CANDIDATE, CURRENT
from train.tables import read

TRENDING = [f"i{n:02d}" for n in range(12)]
LATENCY = {part: {"p50": 4.0, "p95": 6.0} for part in ("chain", "two_tower", "ranker")}
CALIBRATION = {
    "method": "platt",
    "ece": 0.004,
    "ece_uncalibrated": 0.09,
    "curve": [{"predicted": p, "observed": p * 1.1, "count": int(1000 * (1 - p))} for p in (0.01, 0.05, 0.2, 0.5)],
}


def own_group(number):
    """All items of the user's group, seen ones too."""
    return [f"i{n:02d}" for n in range(number % 4, 60, 4)]


def answer(world, lists, release="r1", current=None, cold=None):
    """Write answers to all requests.

    ``lists``: user number -> item ids for the served list, whose reverse the single stages list; ``current`` the same
    of the current release; ``cold``: (user number, known events) -> item ids, trending unless something is known.
    """
    cold = cold or (lambda number, known: lists(number) if known > 1 else TRENDING)
    requests = read(f"{world.zones.features}/requests.parquet", ["request_id", "known_events"])
    ids, known = requests["request_id"].to_pylist(), requests["known_events"].to_pylist()
    numbers = [int(each[-3:]) for each in ids]
    for name, made in ((CANDIDATE, lists), (CURRENT, current)):
        if made:
            served = [made(number) if n < 0 else cold(number, n) for number, n in zip(numbers, known)]
            write(world, name, ids, served)
    said = {"release": "r0", "reason": ""} if current else {}
    write_manifest(world.zones.answers, f"answers-{release}", release=release, latency_ms=LATENCY, current=said)
    write_json(f"{world.zones.ranker}/calibration.json", CALIBRATION)


def write(world, name, ids, served):
    """In another order than the requests, as several writers would."""
    worse = [list(reversed(each)) for each in served]
    columns = dict.fromkeys(ANSWERED.values(), worse)
    columns |= {"request_id": ids, "item_ids": served, "trending_ids": [TRENDING] * len(ids)}
    order = np.random.default_rng(1).permutation(len(ids))
    table = {key: [column[i] for i in order] for key, column in columns.items()}
    made_shop.write(f"{world.zones.answers}/{name}.parquet", table)


def unseen(world):
    """The items of a user's group that he has not taken before the cut, by his number."""
    from train import tables

    held = tables.catalogue(world.config, world.zones)
    users, items = tables.first_interactions(world.zones, held, read_manifest(world.zones.processed)["cut"])
    seen = set(zip(held.user_ids[users].tolist(), held.item_ids[items].tolist()))
    return lambda number: [item for item in own_group(number) if (f"u{number:03d}", item) not in seen]
