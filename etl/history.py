"""Users' interactions as sorted arrays, and where a query instant cuts them.

A ``History`` holds all interactions of some users, sorted by (user, time, event id); text columns are numbers into
sorted tables of names, so that all work on it is array work. A query is a pair (user number, as_of); ``before`` turns
it into the position behind the user's last strictly earlier interaction.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

#: Columns that ``build`` reads.
COLUMNS = ("user_id", "item_id", "event_time", "event_id", "region", "category")


@dataclasses.dataclass(frozen=True)
class History:
    """Interactions ``[n]`` of ``len(users)`` users.

    Attributes:
        users, items, categories, regions: sorted names; "" is among the regions and categories when it occurs.
        start: int64 ``[users + 1]``: a user's interactions lie at ``start[u]:start[u + 1]``.
        user, item, category, region: int64 ``[n]``, numbers into the names.
        time: int64 ``[n]``, ms.
    """

    users: np.ndarray
    items: np.ndarray
    categories: np.ndarray
    regions: np.ndarray
    start: np.ndarray
    user: np.ndarray
    item: np.ndarray
    category: np.ndarray
    region: np.ndarray
    time: np.ndarray

    def number(self, users: Sequence[str] | np.ndarray) -> np.ndarray:
        """User numbers of ids; -1 for a user without interactions."""
        wanted = np.asarray(users, object)
        if not len(self.users):
            return np.full(len(wanted), -1)
        found = np.minimum(np.searchsorted(self.users, wanted), len(self.users) - 1)
        return np.where(self.users[found] == wanted, found, -1)

    def before(self, user: np.ndarray, as_of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``[low, high)`` of every query: the user's interactions strictly before ``as_of`` (none for user -1)."""
        low = np.where(user >= 0, self.start[np.maximum(user, 0)], 0)
        high = low + count_earlier(self.user, self.time, user, as_of, low)
        return low, np.where(user >= 0, high, low)


def build(rows: pa.Table) -> History:
    """Sort a table of interactions (``COLUMNS``, each event id once) into a ``History``."""
    order = pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in ("user_id", "event_time", "event_id")])
    rows = rows.select(COLUMNS).take(order)
    names, numbers = {}, {}
    for column in ("user_id", "item_id", "region", "category"):
        names[column], numbers[column] = _numbered(rows.column(column))
    start = np.searchsorted(numbers["user_id"], np.arange(len(names["user_id"]) + 1))
    return History(
        users=names["user_id"],
        items=names["item_id"],
        categories=names["category"],
        regions=names["region"],
        start=start,
        user=numbers["user_id"],
        item=numbers["item_id"],
        category=numbers["category"],
        region=numbers["region"],
        time=rows.column("event_time").to_numpy(),
    )


def count_earlier(
    group: np.ndarray, time: np.ndarray, wanted: np.ndarray, as_of: np.ndarray, low: np.ndarray
) -> np.ndarray:
    """Events of group ``wanted`` strictly before ``as_of``, for a log sorted by (group, time); ``low``: its start.

    Times become ranks, so that (group, time) fits one int64 key whatever the span of the log.
    """
    ranks = np.unique(time)
    width = len(ranks) + 1
    key = group * width + np.searchsorted(ranks, time)
    return np.searchsorted(key, wanted * width + np.searchsorted(ranks, as_of)) - low


def ranges(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All positions of many ranges, one after the other, and the number of the range that each belongs to.

    Example:
        >>> ranges(np.array([3, 7]), np.array([5, 8]))
        (array([3, 4, 7]), array([0, 0, 1]))
    """
    size = high - low
    owner = np.repeat(np.arange(len(low)), size)
    offset = np.cumsum(size) - size
    return np.arange(size.sum()) - offset[owner] + low[owner], owner


def lists(values: pa.Array, sizes: np.ndarray) -> pa.Array:
    """Flat values cut into lists of the given sizes."""
    return pa.ListArray.from_arrays(pa.array(np.concatenate([[0], np.cumsum(sizes)]), pa.int32()), values)


def take(names: np.ndarray, numbers: np.ndarray) -> pa.Array:
    """Names by number, as Arrow strings."""
    return pa.array(names, pa.string()).take(pa.array(numbers))


def _numbered(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    encoded = pc.dictionary_encode(pc.fill_null(column, "")).combine_chunks()
    names = np.array(encoded.dictionary.to_pylist(), object)
    order = np.argsort(names)
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    return names[order], rank[encoded.indices.to_numpy()] if len(names) else np.empty(0, np.int64)
