"""The ``user_profile`` view for any (user, instant) pairs: home region and items seen, strictly before the instant."""

from __future__ import annotations

import pyarrow as pa

from etl import device
from etl.device import Array
from etl.history import History, ItemLists

#: Queries are handled in runs of about this many (query, interaction) pairs, so that memory stays bounded.
PAIRS = 4_000_000


def home_regions(history: History, low: Array, high: Array) -> pa.Array:
    """The region of most interactions in ``[low, high)``; of equals, the one that got there first; "" when none is."""
    xp = device.arrays()
    if not len(history.time):
        return pa.array([""] * len(low), pa.string())
    leader = history.once("leader", lambda: _leaders(history))
    at = xp.where(high > low, leader[xp.maximum(high - 1, 0)], -1)
    number = xp.where(at >= low, history.region[xp.maximum(at, 0)], len(history.regions))
    return device.strings([*history.regions, ""], number)


def _leaders(history: History) -> Array:
    """For every interaction, the position of the last one that set a new maximum; it may be another user's.

    A leader loses only to a region that exceeds it, and counts grow by one, so the leader at an instant is the region
    of the last interaction that set a new maximum.
    """
    xp = device.arrays()
    n = len(history.time)
    order = device.order_by(history.user, history.region)
    first = device.changes(history.user[order]) | device.changes(history.region[order])
    count = xp.empty(n, int)
    count[order] = xp.arange(n) - device.run_starts(first) + 1
    if history.regions[0] == "":
        count[history.region == 0] = 0
    # One offset a user keeps the running maximum from leaking into the next user.
    offset = history.user * (n + 1)
    running = device.running_max(count + offset)
    record = count > 0
    record[1:] &= count[1:] + offset[1:] > running[:-1]
    return device.running_max(xp.where(record, xp.arange(n), -1))


def seen_items(history: History, low: Array, high: Array, most: int) -> ItemLists:
    """Distinct items of ``[low, high)`` by falling time of their last interaction there, at most ``most`` a query."""
    xp = device.arrays()
    next_same = neighbours(history)[1]
    # A run may exceed PAIRS by the interactions of its last query.
    run = xp.cumsum(high - low) // PAIRS
    parts = []
    for part in range(int(run[-1]) + 1 if len(run) else 0):
        chosen = xp.flatnonzero(run == part)
        size, end = (high - low)[chosen], high[chosen]
        position, owner = device.falling_ranges(end, size), device.repeat(xp.arange(len(chosen)), size)
        last = next_same[position] >= end[owner]
        position, owner = position[last], owner[last]
        size = device.counted(owner, len(chosen))
        rank = xp.arange(len(owner)) - (xp.cumsum(size) - size)[owner]
        parts.append(ItemLists(history.item[position[rank < most]], xp.minimum(size, most)))
    if not parts:
        return ItemLists(xp.zeros(0, int), xp.zeros(0, int))
    return ItemLists(xp.concatenate([p.items for p in parts]), xp.concatenate([p.sizes for p in parts]))


def neighbours(history: History) -> tuple[Array, Array]:
    """Positions of the previous (-1: none) and next (n: none) interaction of the same user with the same item."""
    return history.once("neighbours", lambda: _neighbours(history))


def _neighbours(history: History) -> tuple[Array, Array]:
    xp = device.arrays()
    n = len(history.time)
    order = device.order_by(history.user, history.item)
    same = ~(device.changes(history.user[order]) | device.changes(history.item[order]))[1:]
    earlier, later = order[:-1][same], order[1:][same]
    previous, following = xp.full(n, -1), xp.full(n, n)
    previous[later], following[earlier] = earlier, later
    return previous, following
