"""Requests at the instants of single interactions: what would the user take next, at the moment he did?

A request's state is what is strictly earlier than its instant, and its truth is the one item of the interaction. Only
interactions that continue a session are asked for: the first of a session has nothing that leads to it.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from contracts.config import Config
from contracts.features import MS_PER_MINUTE, OUT_OF_VOCABULARY
from etl import device, rows
from etl.history import History
from etl.timeline import Timeline


def continuing(log: History, user: np.ndarray, as_of: np.ndarray, config: Config) -> np.ndarray:
    """Whether a session was running at each instant, bool: the newest earlier interaction lies within the gap."""
    xp = device.arrays()
    low, high = log.before(xp.asarray(user), xp.asarray(as_of))
    if not len(log.time):
        return np.zeros(len(user), bool)
    age = xp.asarray(as_of) - log.time[xp.maximum(high - 1, 0)]
    return device.to_host((high > low) & (age <= config.features.session_gap_minutes * MS_PER_MINUTE))


def possible(log: History, instants: rows.Instants, config: Config) -> np.ndarray:
    """Positions of the interactions of the test window that continue a session, int64."""
    time = device.to_host(log.time)
    place = np.flatnonzero((time >= instants.cut) & (time < instants.test_end))
    return place[continuing(log, device.to_host(log.user)[place], time[place], config)]


def requests(log: History, place: np.ndarray, k: int, config: Config, users: Timeline) -> pa.Table:
    """Requests at the instants of some interactions, in their order."""
    user, as_of = device.to_host(log.user)[place], device.to_host(log.time)[place]
    ids = device.strings(log.users, user)
    table = rows.features(log, user, as_of, config.features, seen=True).table
    columns = {"user_id": ids, **rows.attributes(users, ids, as_of, config)}
    table = pa.table({**columns, **{name: table.column(name) for name in table.column_names}})
    return rows.asked(table, as_of, k, rows.Asked(_ids(log, place)))


def truth(log: History, place: np.ndarray, item_codes: np.ndarray) -> pa.Table:
    """The one item of each request; out of vocabulary, which no list holds, where the catalogue lacks it."""
    user, item = device.to_host(log.user)[place], device.to_host(log.item)[place]
    codes = np.where(item_codes[item] < 0, OUT_OF_VOCABULARY, item_codes[item])
    one = np.ones(len(place), np.int64)
    return pa.table(
        {
            "request_id": _ids(log, place),
            "user_id": device.strings(log.users, user),
            "item_codes": device.lists(codes, one, pa.int32()),
            "item_ids": device.lists(device.strings(log.items, item), one),
        }
    )


def _ids(log: History, place: np.ndarray) -> pa.Array:
    """Of user, instant and, where several happened at once, which of them."""
    user, as_of = device.to_host(log.user)[place], device.to_host(log.time)[place]
    xp = device.arrays()
    _, first = log.before(xp.asarray(user), xp.asarray(as_of))
    names = zip(log.users[user], as_of.tolist(), (place - device.to_host(first)).tolist())
    return pa.array([f"{name}:{instant}:{nth}" for name, instant, nth in names], pa.string())
