"""The ``user_behaviour`` view for any (user, instant) pairs at once: the vectorised batch twin of ``contracts.folds``.

``rows`` equals ``folds.row`` of the fold over the interactions strictly earlier than ``as_of``; tests/etl compares the
two on random logs.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from contracts.config import FeatureSettings
from contracts.features import MS_PER_HOUR, count_column
from etl.history import History, count_earlier, lists, ranges, take


def rows(history: History, user: np.ndarray, as_of: np.ndarray, settings: FeatureSettings) -> pa.Table:
    """Raw behaviour rows, one per query, in the queries' order.

    Args:
        history: the interactions.
        user: int64 ``[queries]``, numbers into ``history.users``; -1 is a user without interactions.
        as_of: int64 ``[queries]``, ms.
        settings: list lengths, half-lives and the session gap.
    """
    low, high = history.before(user, as_of)
    some = high > low
    last = np.where(some, high - 1, 0)
    window = np.minimum(high - low, settings.recent_items)
    position, owner = ranges(high - window, high)
    # ``position`` rises within a query; the newest comes first, so mirror it within its range.
    newest_first = (2 * high - window - 1)[owner] - position
    session = np.maximum(_session_starts(history, settings)[last], high - window) if len(history.time) else last
    times = history.time if len(history.time) else np.zeros(1, np.int64)
    last_time = np.where(some, times[last], 0)
    columns = {
        "recent_item_ids": lists(take(history.items, history.item[newest_first]), window),
        "recent_event_times": lists(pa.array(history.time[newest_first]), window),
        "interaction_count": high - low,
        "last_event_time": last_time,
        "session_start_time": np.where(some, times[np.where(some, session, 0)], 0),
        "session_interactions": np.where(some, high - session, 0),
    }
    return pa.table({**columns, **_counts(history, user, as_of, last_time, settings)})


def _session_starts(history: History, settings: FeatureSettings) -> np.ndarray:
    """Position of the first interaction of the session that each interaction belongs to, int64 ``[n]``."""
    gap = np.diff(history.time, prepend=history.time[:1])
    first = gap > settings.session_gap_minutes * 60_000
    first[history.start[:-1]] = True
    return np.maximum.accumulate(np.where(first, np.arange(len(first)), 0))


def _counts(
    history: History, user: np.ndarray, as_of: np.ndarray, last_time: np.ndarray, settings: FeatureSettings
) -> dict[str, pa.Array]:
    """``count_categories`` and the decayed counts stated as of ``last_time``.

    The log is sorted again by (user, category, time); a pair's count at an instant is its running sum at its last
    earlier interaction, decayed to ``last_time``. Queries are matched with all pairs of their user, then the empty go.
    """
    width = max(len(history.categories), 1)
    pair = history.user * width + history.category
    order = np.argsort(pair, kind="stable")
    pair, time = pair[order], history.time[order]
    pairs, first = np.unique(pair, return_index=True)
    bounds = np.searchsorted(pairs, np.arange(len(history.users) + 1) * width)
    known = user >= 0
    low = np.where(known, bounds[np.maximum(user, 0)], 0)
    high = np.where(known, bounds[np.maximum(user, 0) + 1], 0) if len(history.users) else low
    match, query = ranges(low, high)
    size = count_earlier(pair, time, pairs[match], as_of[query], first[match])
    match, query, size = match[size > 0], query[size > 0], size[size > 0]
    at = first[match] + size - 1
    sizes = np.bincount(query, minlength=len(user))
    names = take(history.categories, pairs[match] % width)
    columns = {"count_categories": lists(names, sizes)}
    for hours in settings.count_half_lives_hours:
        half_life = hours * MS_PER_HOUR
        sums = decayed_sums(pair, time, half_life)
        values = sums[at] * np.exp2(-(last_time[query] - time[at]) / half_life)
        columns[count_column(hours)] = lists(pa.array(values), sizes)
    return columns


def decayed_sums(group: np.ndarray, time: np.ndarray, half_life: float) -> np.ndarray:
    """For a log sorted by (group, time): sums of ``2 ** (-(time[i] - time[j]) / half_life)`` over j <= i of i's group.

    Float64 ``[n]``, by doubling (Hillis and Steele): after step k an element holds its last 2**k terms. Only sums of
    positive numbers, so it is exact to rounding whatever the span: no exponent grows with the length of the log, as
    it would in a cumulative sum of forward-decayed weights (a year in half-lives of an hour is 2 ** 8760).

    Example:
        >>> decayed_sums(np.array([0, 0, 1]), np.array([0, 10, 10]), 10.0)
        array([1. , 1.5, 1. ])
    """
    sums = np.ones(len(time))
    step = 1
    while step < len(time):
        same = np.flatnonzero(group[step:] == group[:-step])
        if not len(same):
            break
        decay = np.exp2(-(time[same + step] - time[same]) / half_life)
        sums[same + step] += sums[same] * decay
        step *= 2
    return sums
