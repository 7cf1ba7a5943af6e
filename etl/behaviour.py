"""The ``user_behaviour`` view for any (user, instant) pairs at once: the vectorised batch twin of ``contracts.folds``.

``rows`` equals ``folds.row`` of the fold over the interactions strictly earlier than ``as_of``; tests/etl compares the
two on random logs.
"""

from __future__ import annotations

import pyarrow as pa

from contracts.config import FeatureSettings
from contracts.features import MS_PER_HOUR, count_column
from etl import device
from etl.device import Array
from etl.history import History, ItemLists, first_not_before


def rows(history: History, user: Array, as_of: Array, settings: FeatureSettings) -> pa.Table:
    """Raw behaviour rows, one per query, in the queries' order.

    Args:
        history: the interactions.
        user: int64 ``[queries]``, numbers into ``history.users``; -1 is a user without interactions.
        as_of: int64 ``[queries]``, ms.
        settings: list lengths, half-lives and the session gap.
    """
    xp = device.arrays()
    low, high = history.before(xp.asarray(user), xp.asarray(as_of))
    some = high > low
    # Of a query without interactions any position will do: what is read there is thrown away.
    last = xp.where(some, high - 1, 0)
    times = history.time if len(history.time) else xp.zeros(1, int)
    position, sizes = recent_positions(low, high, settings.recent_items)
    session = xp.maximum(_session_starts(history, settings)[last], high - sizes) if len(history.time) else last
    last_time = xp.where(some, times[last], 0)
    session_start = xp.where(some, times[xp.where(some, session, 0)], 0)
    dwelt = _session_dwell(history, xp.asarray(user), xp.asarray(as_of), session_start, settings)
    columns = {
        "recent_item_ids": device.lists(device.strings(history.items, history.item[position]), sizes),
        "recent_event_times": device.lists(history.time[position], sizes),
        "interaction_count": device.to_host(high - low),
        "last_event_time": device.to_host(last_time),
        "session_start_time": device.to_host(session_start),
        "session_interactions": device.to_host(xp.where(some, high - session, 0)),
        "session_dwell_ms": device.to_host(xp.where(some, dwelt, 0)),
    }
    return pa.table({**columns, **_counts(history, low, high, last_time, settings)})


def recent(history: History, low: Array, high: Array, most: int) -> ItemLists:
    """Items of the newest interactions of ``[low, high)``, newest first, at most ``most`` a query."""
    position, sizes = recent_positions(low, high, most)
    return ItemLists(history.item[position], sizes)


def recent_positions(low: Array, high: Array, most: int) -> tuple[Array, Array]:
    """Positions of the newest interactions of every query, newest first, and how many each query has."""
    sizes = device.arrays().minimum(high - low, most)
    return device.falling_ranges(high, sizes), sizes


def _session_starts(history: History, settings: FeatureSettings) -> Array:
    """Position of the first interaction of the session that each interaction belongs to, int64 ``[n]``."""
    gap_ms = settings.session_gap_minutes * 60_000

    def make() -> Array:
        first = device.changes(history.user)
        first[1:] |= history.time[1:] - history.time[:-1] > gap_ms
        return device.run_starts(first)

    return history.once(("session", gap_ms), make)


def _session_dwell(
    history: History, user: Array, as_of: Array, session_start: Array, settings: FeatureSettings
) -> Array:
    """Dwell reported from ``session_start`` on and strictly before ``as_of``, ms, of the newest reports."""
    xp = device.arrays()
    dwells, number = history.dwells, xp.maximum(user, 0)
    if not len(dwells.time):
        return xp.zeros(len(user), int)
    low = dwells.start[number]
    end = first_not_before(dwells.time, low, dwells.start[number + 1], as_of)
    begin = first_not_before(dwells.time, low, end, session_start)
    return dwells.until[end] - dwells.until[xp.maximum(begin, end - settings.recent_items)]


def _counts(
    history: History, low: Array, high: Array, last_time: Array, settings: FeatureSettings
) -> dict[str, pa.Array]:
    """``count_categories`` and the decayed counts stated as of ``last_time``.

    A query's count of a category is the running sum at the newest interaction that it sees of it, decayed to
    ``last_time``; an empty category has no entry.
    """
    at, sizes, pairs = _newest_of_each_category(history, low, high)
    names = device.strings(history.categories, history.category[pairs.order][at])
    columns = {"count_categories": device.lists(names, sizes)}
    age = device.repeat(last_time, sizes) - pairs.time[at]
    for hours in settings.count_half_lives_hours:
        values = _sums(history, pairs, hours)[at] * device.arrays().exp2(-age / (hours * MS_PER_HOUR))
        columns[count_column(hours)] = device.lists(values, sizes)
    return columns


def _sums(history: History, pairs: _Pairs, hours: int) -> Array:
    return history.once(("sums", hours), lambda: decayed_sums(pairs.first, pairs.time, hours * MS_PER_HOUR))


class _Pairs:
    """The log sorted again, by (user, category, time): the interactions of a pair lie together.

    Attributes:
        order: positions in the history.
        time: their times.
        first: where a pair begins, bool.
        number: which of its user's pairs it is, from 0, int64.
        many: how many pairs each user has.
    """

    def __init__(self, history: History):
        xp = device.arrays()
        self.order = device.order_by(history.user, history.category)
        user = history.user[self.order]
        self.time = history.time[self.order]
        self.first = device.changes(user) | device.changes(history.category[self.order])
        self.many = device.counted(user[self.first], len(history.users))
        self.number = xp.cumsum(self.first) - 1 - (xp.cumsum(self.many) - self.many)[user]


def _newest_of_each_category(history: History, low: Array, high: Array) -> tuple[Array, Array, _Pairs]:
    """The newest interaction of every category that a query sees, by query and category.

    No search: an interaction is a category's newest for exactly those queries of its user that end between it and the
    next of the pair, and these lie together once the queries are sorted by their end. Then every entry goes to its
    place among all pairs of the query's user, and places that stayed empty go.

    Returns:
        Positions in the order of the pairs, how many each query has, and the pairs.
    """
    xp = device.arrays()
    pairs = history.once("pairs", lambda: _Pairs(history))
    n = len(pairs.order)
    asked = xp.flatnonzero(high > low)
    end = high[asked] - 1
    sorted_queries = asked[device.order_by(end)]
    # ended[p]: queries whose last interaction lies before position p.
    ended = xp.concatenate([xp.zeros(1, int), xp.cumsum(device.counted(end, n))])
    following = history.start[history.user[pairs.order] + 1]
    again = ~pairs.first[1:]
    following[:-1][again] = pairs.order[1:][again]
    begin = ended[pairs.order]
    seen_by = ended[following] - begin
    width = xp.zeros(len(low), int)
    width[asked] = pairs.many[history.user[end]]
    behind = xp.cumsum(width)
    held = xp.full(int(behind[-1]) if len(low) else 0, -1)
    place = (behind - width)[sorted_queries][device.ranges(begin, seen_by)] + device.repeat(pairs.number, seen_by)
    held[place] = device.repeat(xp.arange(n), seen_by)
    filled = held >= 0
    filled_before = xp.concatenate([xp.zeros(1, int), xp.cumsum(filled)])
    return held[filled], filled_before[behind] - filled_before[behind - width], pairs


def decayed_sums(first: Array, time: Array, half_life: float) -> Array:
    """Sums of ``2 ** (-(time[i] - time[j]) / half_life)`` over j <= i of i's group, float64 ``[n]``.

    By doubling (Hillis and Steele): after step k an element holds its last 2**k terms. Only sums of positive numbers,
    so it is exact to rounding whatever the span: no exponent grows with the length of the log, as it would in a
    cumulative sum of forward-decayed weights (a year in half-lives of an hour is 2 ** 8760).

    Args:
        first: where a group begins, bool ``[n]``.
        time: ms, rising within a group.
        half_life: ms.

    Example:
        >>> import numpy as np
        >>> decayed_sums(np.array([True, False, True]), np.array([0, 10, 10]), 10.0)
        array([1. , 1.5, 1. ])
    """
    xp = device.arrays()
    sums = xp.ones(len(time))
    place = xp.arange(len(time)) - device.run_starts(first)
    step, reached = 1, xp.flatnonzero(place >= 1)
    while len(reached):
        decay = xp.exp2(-(time[reached] - time[reached - step]) / half_life)
        sums[reached] += sums[reached - step] * decay
        step *= 2
        reached = reached[place[reached] >= step]
    return sums
