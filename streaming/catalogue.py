"""The category of every item as of any instant: what the batch knows of it, and the updates that came since.

An update counts from its own time on, however late it comes: interactions that are folded in after it, whatever their
time, find the category of their time. Those that were folded in before it keep theirs until the next rebuild.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping

from contracts.events import Event

#: The time from which on the first category of an item holds: before every event.
BEGINNING = 0


class Catalogue:
    """Categories by item and time.

    Args:
        column: the attribute that is the category; "" where interactions are counted all together.
        newest: item id -> category now; an item that is not there has none.
        former: item id, the time (ms) from which on a category held, and the category, in the order of time for each
            item, the first from the ``BEGINNING`` on; only items whose category has changed.
    """

    def __init__(
        self, column: str = "", newest: Mapping[str, str] | None = None, former: Iterable[tuple[str, int, str]] = ()
    ):
        self._column = column
        self._newest = newest or {}
        # Item id -> (from when on, by which event, category), in this order.
        self._changes: dict[str, list[tuple[int, str, str]]] = {}
        for item_id, time, category in former:
            changes = self._changes.setdefault(item_id, [])
            # A change of another attribute says nothing of the category: an update that comes late may lie before it.
            if not changes or changes[-1][2] != category:
                changes.append((time, "", category))

    def at(self, item_id: str, time: int) -> str:
        """The category that an item has from ``time`` on or since before; "" when nothing is known."""
        changes = self._changes.get(item_id)
        if changes is None:
            return self._newest.get(item_id, "")
        return changes[bisect.bisect_left(changes, (time + 1,)) - 1][2]

    def change(self, event: Event) -> None:
        """Take an ``item_update`` in; one that does not name the category, or that came before, changes nothing."""
        category = (event.attributes or {}).get(self._column)
        if category is None or event.item_id is None:
            return
        changes = self._changes.setdefault(event.item_id, [(BEGINNING, "", self._newest.get(event.item_id, ""))])
        if all(event_id != event.event_id for _, event_id, _ in changes):
            bisect.insort(changes, (event.event_time, event.event_id, category))
