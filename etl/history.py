"""Users' interactions and reports of dwell as sorted arrays, and where a query instant cuts them.

A ``History`` holds all interactions of some users, sorted by (user, time, event id); text columns are numbers into
sorted tables of names, so that all work on it is array work, on either kind of array (``etl/device.py``). A query is a
pair (user number, as_of); ``before`` turns it into the position behind the user's last strictly earlier interaction.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from contracts.events import INTERACTIONS, EventType
from contracts.features import MS_PER_DAY
from etl import device
from etl.device import Array

#: Columns that ``build`` reads. ``dwell_ms`` (int64) is null in an interaction and tells a report of dwell from one.
COLUMNS = ("user_id", "item_id", "event_time", "event_id", "region", "category", "dwell_ms")


class Dwells(NamedTuple):
    """Reports of dwell of a history's users, sorted like its interactions.

    Attributes:
        start: int64 ``[users + 1]``: a user's reports lie at ``start[u]:start[u + 1]``.
        time: int64 ``[reports]``, ms.
        until: int64 ``[reports + 1]``: the sum of the milliseconds of all reports before each position.
    """

    start: Array
    time: Array
    until: Array


class ItemLists(NamedTuple):
    """A list of items for every query: flat item numbers, one list after the other, and each list's length."""

    items: Array
    sizes: Array


@dataclasses.dataclass(frozen=True)
class History:
    """Interactions ``[n]`` of ``len(users)`` users, each of whom has one.

    Attributes:
        users, items, categories, regions: sorted names (on the host); "" is among the regions and categories when it
            occurs.
        start: int64 ``[users + 1]``: a user's interactions lie at ``start[u]:start[u + 1]``.
        user, item, category, region: int64 ``[n]``, numbers into the names.
        time: int64 ``[n]``, ms.
        dwells: what these users reported.
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
    dwells: Dwells
    _made: dict[object, Any] = dataclasses.field(default_factory=dict[object, Any], compare=False, repr=False)

    def once(self, key: object, make: Callable[[], Any]) -> Any:
        """What ``make`` returns, made once for this history, however many queries are asked of it."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def number(self, users: Sequence[str] | Any) -> Array:
        """User numbers of ids; -1 for a user without interactions."""
        known = pa.array(self.users, pa.string())
        found = pc.fill_null(pc.index_in(pa.array(users, pa.string()), value_set=known), -1)
        return device.numbers(pc.cast(found, pa.int64()))

    def users_before(self, instant: int) -> Any:
        """Ids of the users with an interaction strictly before an instant (ms), sorted."""
        first = self.time[self.start[:-1]] < instant if len(self.time) else self.start[:-1] < 0
        return self.users[device.to_host(first)]

    def newest(self, ids: Any, instant: int, most: int) -> History:
        """Users (by id) as if only their ``most`` newest interactions before an instant were known, and no dwell.

        A user may then have no interaction at all.
        """
        xp = device.arrays()
        number = self.number(ids)
        low, high = self.before(number, xp.full(len(number), instant))
        sizes = xp.minimum(high - low, most)
        at = device.ranges(high - sizes, sizes)
        none = Dwells(xp.zeros(len(number) + 1, int), xp.zeros(0, int), xp.zeros(1, int))
        return History(
            users=ids,
            items=self.items,
            categories=self.categories,
            regions=self.regions,
            start=xp.concatenate([xp.zeros(1, int), xp.cumsum(sizes)]),
            user=device.repeat(xp.arange(len(number)), sizes),
            item=self.item[at],
            category=self.category[at],
            region=self.region[at],
            time=self.time[at],
            dwells=none,
        )

    def before(self, user: Array, as_of: Array) -> tuple[Array, Array]:
        """``[low, high)`` of every query: the user's interactions strictly before ``as_of`` (none for user -1)."""
        xp = device.arrays()
        known = user >= 0
        number = xp.where(known, user, 0)
        if not len(self.time):
            return xp.zeros(len(user), int), xp.zeros(len(user), int)
        low = xp.where(known, self.start[number], 0)
        return low, first_not_before(self.time, low, xp.where(known, self.start[number + 1], 0), as_of)


def foldable(events: pa.Table) -> pa.Table:
    """The interactions and reports of dwell among events; ``dwell_ms`` replaces ``event_type`` and ``value``."""
    kind = events.column("event_type")
    dwell = pc.and_(pc.equal(kind, EventType.DWELL.value), pc.is_valid(events.column("value")))
    wanted = pc.or_(dwell, pc.is_in(kind, value_set=pa.array(sorted(each.value for each in INTERACTIONS))))
    # ``contracts.folds.dwell_ms``: whole milliseconds, a day at most.
    ms = pc.cast(pc.min_element_wise(events.column("value"), float(MS_PER_DAY)), pa.int64(), safe=False)
    ms = pc.if_else(dwell, ms, pa.scalar(None, pa.int64()))
    return events.drop(["event_type", "value"]).append_column("dwell_ms", ms).filter(wanted)


def build(rows: pa.Table) -> History:
    """Sort a table of interactions and reports of dwell (``COLUMNS``, each event id once) into a ``History``."""
    xp = device.arrays()
    reports = rows.filter(pc.is_valid(rows.column("dwell_ms")))
    if reports.num_rows:
        rows = rows.filter(pc.is_null(rows.column("dwell_ms")))
    names, number = {}, {}
    for column in ("user_id", "item_id", "region", "category"):
        names[column], number[column] = device.numbered(rows.column(column))
    user, time, order = _sorted(number["user_id"], rows)
    everyone = xp.arange(len(names["user_id"]) + 1)
    return History(
        users=names["user_id"],
        items=names["item_id"],
        categories=names["category"],
        regions=names["region"],
        start=xp.searchsorted(user, everyone),
        user=user,
        item=number["item_id"][order],
        category=number["category"][order],
        region=number["region"][order],
        time=time,
        dwells=_dwells(reports, names["user_id"], everyone),
    )


def _dwells(rows: pa.Table, users: Any, everyone: Array) -> Dwells:
    """What is reported of somebody without interactions belongs to no session, and goes."""
    xp = device.arrays()
    number = pc.index_in(rows.column("user_id"), value_set=pa.array(users, pa.string()))
    rows, number = rows.filter(pc.is_valid(number)), number.drop_null()
    user, time, order = _sorted(device.numbers(pc.cast(number, pa.int64())), rows)
    ms = device.numbers(rows.column("dwell_ms"))[order]
    return Dwells(xp.searchsorted(user, everyone), time, xp.concatenate([xp.zeros(1, int), xp.cumsum(ms)]))


def _sorted(user: Array, rows: pa.Table) -> tuple[Array, Array, Array]:
    """User and time by (user, time, event id), and the rows' positions in this order."""
    time = device.numbers(rows.column("event_time"))
    order = _untied(device.order_by(user, time), user, time, rows.column("event_id"))
    return user[order], time[order], order


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

    A bisection of all queries at once, int64 ``[queries]``; ``time`` rises within each range.
    """
    xp = device.arrays()
    longest = int((high - low).max()) if len(low) else 0
    for _ in range(longest.bit_length()):
        middle = (low + high) // 2
        # A range that is used up may lie behind the last event.
        earlier = (low < high) & (time[xp.minimum(middle, len(time) - 1)] < instant)
        low, high = xp.where(earlier, middle + 1, low), xp.where(earlier, high, middle)
    return low
