"""Users' interactions as sorted arrays, and where a query instant cuts them.

A ``History`` holds all interactions of some users, sorted by (user, time, event id); text columns are numbers into
sorted tables of names, so that all work on it is array work, on either kind of array (``etl/device.py``). A query is a
pair (user number, as_of); ``before`` turns it into the position behind the user's last strictly earlier interaction.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from etl import device
from etl.device import Array

#: Columns that ``build`` reads.
COLUMNS = ("user_id", "item_id", "event_time", "event_id", "region", "category")


class ItemLists(NamedTuple):
    """A list of items for every query: flat item numbers, one list after the other, and each list's length."""

    items: Array
    sizes: Array


@dataclasses.dataclass(frozen=True)
class History:
    """Interactions ``[n]`` of ``len(users)`` users.

    Attributes:
        users, items, categories, regions: sorted names (on the host); "" is among the regions and categories when it
            occurs.
        start: int64 ``[users + 1]``: a user's interactions lie at ``start[u]:start[u + 1]``.
        user, item, category, region: int64 ``[n]``, numbers into the names.
        time: int64 ``[n]``, ms.
    """

    users: Any
    items: Any
    categories: Any
    regions: Any
    start: Array
    user: Array
    item: Array
    category: Array
    region: Array
    time: Array

    def number(self, users: Sequence[str] | Any) -> Array:
        """User numbers of ids; -1 for a user without interactions."""
        known = pa.array(self.users, pa.string())
        found = pc.fill_null(pc.index_in(pa.array(users, pa.string()), value_set=known), -1)
        return device.numbers(pc.cast(found, pa.int64()))

    def users_before(self, instant: int) -> Any:
        """Ids of the users with an interaction strictly before an instant (ms), sorted."""
        first = self.time[self.start[:-1]] < instant if len(self.time) else self.start[:-1] < 0
        return self.users[device.to_host(first)]

    def before(self, user: Array, as_of: Array) -> tuple[Array, Array]:
        """``[low, high)`` of every query: the user's interactions strictly before ``as_of`` (none for user -1)."""
        xp = device.arrays()
        known = user >= 0
        number = xp.where(known, user, 0)
        if not len(self.time):
            return xp.zeros(len(user), int), xp.zeros(len(user), int)
        low = xp.where(known, self.start[number], 0)
        return low, first_not_before(self.time, low, xp.where(known, self.start[number + 1], 0), as_of)


def build(rows: pa.Table) -> History:
    """Sort a table of interactions (``COLUMNS``, each event id once) into a ``History``."""
    xp = device.arrays()
    names, number = {}, {}
    for column in ("user_id", "item_id", "region", "category"):
        names[column], number[column] = device.numbered(rows.column(column))
    user, time = number["user_id"], device.numbers(rows.column("event_time"))
    order = _untied(device.order_by(user, time), user, time, rows.column("event_id"))
    user = user[order]
    return History(
        users=names["user_id"],
        items=names["item_id"],
        categories=names["category"],
        regions=names["region"],
        start=xp.searchsorted(user, xp.arange(len(names["user_id"]) + 1)),
        user=user,
        item=number["item_id"][order],
        category=number["category"][order],
        region=number["region"][order],
        time=time[order],
    )


def _untied(order: Array, user: Array, time: Array, event_id: pa.ChunkedArray) -> Array:
    """``order`` with the events of one user and instant sorted by event id; only these are compared as text."""
    xp = device.arrays()
    first = device.changes(user[order]) | device.changes(time[order])
    tied = ~first
    tied[:-1] |= ~first[1:]
    place = xp.flatnonzero(tied)
    if not len(place):
        return order
    instant = xp.cumsum(first)[place]
    sorted_ids = pc.sort_indices(event_id.take(pa.array(device.to_host(order[place]))))
    by_id = xp.asarray(sorted_ids.to_numpy()).astype(int)
    order[place] = order[place[by_id[device.order_by(instant[by_id])]]]
    return order


def first_not_before(time: Array, low: Array, high: Array, instant: Array) -> Array:
    """The first position in ``[low, high)`` whose time is not before ``instant``, ``high`` when there is none.

    A bisection of all queries at once, int64 ``[queries]``; ``time`` rises within each range and is not empty.
    """
    xp = device.arrays()
    longest = int((high - low).max()) if len(low) else 0
    for _ in range(longest.bit_length()):
        middle = (low + high) // 2
        # A range that is used up may lie behind the last event.
        earlier = (low < high) & (time[xp.minimum(middle, len(time) - 1)] < instant)
        low, high = xp.where(earlier, middle + 1, low), xp.where(earlier, high, middle)
    return low
