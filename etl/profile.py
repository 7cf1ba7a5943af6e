"""The ``user_profile`` view for any (user, instant) pairs: home region and items seen, strictly before the instant."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from etl.history import History, ranges

#: Queries are handled in runs of about this many (query, interaction) pairs, so that memory stays bounded.
PAIRS = 20_000_000


class Seen(NamedTuple):
    """Distinct items of every query, newest first: flat item numbers and how many each query has."""

    items: np.ndarray
    sizes: np.ndarray


def home_regions(history: History, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The region of most interactions in ``[low, high)``; of equals, the one that got there first; "" when none is.

    A leader loses only to a region that exceeds it, and counts grow by one, so the leader at an instant is the region
    of the last interaction that set a new maximum.
    """
    if not len(history.time):
        return np.full(len(low), "", object)
    pair = history.user * len(history.regions) + history.region
    order = np.argsort(pair, kind="stable")
    first = np.concatenate([[True], np.diff(pair[order]) != 0])
    run = np.arange(len(pair)) - np.maximum.accumulate(np.where(first, np.arange(len(pair)), 0))
    count = np.empty(len(pair), np.int64)
    count[order] = run + 1
    count[history.regions[history.region] == ""] = 0
    # One offset a user keeps the running maximum from leaking into the next user.
    offset = history.user * (len(pair) + 1)
    running = np.maximum.accumulate(count + offset)
    previous = np.concatenate([[-1], running[:-1]])
    record = count + offset > np.maximum(previous, offset)
    leader = np.maximum.accumulate(np.where(record, np.arange(len(pair)), -1))
    at = np.where(high > low, leader[np.maximum(high - 1, 0)], -1)
    return np.where(at >= low, history.regions[history.region[np.maximum(at, 0)]], "")


def seen_items(history: History, low: np.ndarray, high: np.ndarray, most: int) -> Seen:
    """Distinct items of ``[low, high)`` by falling time of their last interaction there, at most ``most`` a query."""
    next_same = neighbours(history)[1]
    # A run may exceed PAIRS by the interactions of its last query.
    run = np.cumsum(high - low) // PAIRS
    parts = []
    for part in np.unique(run):
        chosen = run == part
        position, owner = ranges(low[chosen], high[chosen])
        position = (low[chosen] + high[chosen] - 1)[owner] - position
        last = next_same[position] >= high[chosen][owner]
        position, owner = position[last], owner[last]
        sizes = np.bincount(owner, minlength=chosen.sum())
        rank = np.arange(len(owner)) - (np.cumsum(sizes) - sizes)[owner]
        parts.append(Seen(history.item[position[rank < most]], np.minimum(sizes, most)))
    if not parts:
        return Seen(np.empty(0, np.int64), np.empty(0, np.int64))
    return Seen(np.concatenate([p.items for p in parts]), np.concatenate([p.sizes for p in parts]))


def neighbours(history: History) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the previous (-1: none) and next (n: none) interaction of the same user with the same item."""
    n = len(history.time)
    pair = history.user * len(history.items) + history.item
    order = np.argsort(pair, kind="stable")
    same = np.diff(pair[order]) == 0
    previous, following = np.full(n, -1), np.full(n, n)
    previous[order[1:][same]] = order[:-1][same]
    following[order[:-1][same]] = order[1:][same]
    return previous, following
