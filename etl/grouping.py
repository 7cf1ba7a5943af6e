"""``processed/events`` by day -> temporary files by user: a shuffle over the file system, for any number of workers.

All interactions of a user lie in the files of one group, so that everything that follows is local to a group.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.events import INTERACTIONS
from etl import store

#: Interactions of one group, about: what one worker holds in memory at once.
ROWS_A_GROUP = 150_000
DAYS = 24


def run(processed: str, category: str, folder: str, rows: int, client: Any) -> list[str]:
    """Write the groups below ``folder`` and return their folders, sorted."""
    store.clear(folder)
    count = max(2, -(-rows // ROWS_A_GROUP))
    days = store.days(f"{processed}/events")
    chunks = [tuple(days[i : i + DAYS]) for i in range(0, len(days), DAYS)]
    where = {"processed": processed, "category": category, "folder": folder, "count": count}
    tasks = client.map(_split, chunks, range(len(chunks)), **where, pure=False)
    return [f"{folder}/group={group}" for group in sorted(set().union(*client.gather(tasks)))]


def interactions(events: pa.Table) -> pa.Table:
    """The events by which a user shows interest in an item."""
    kinds = pa.array(sorted(kind.value for kind in INTERACTIONS))
    return events.filter(pc.is_in(events.column("event_type"), value_set=kinds))


def with_category(rows: pa.Table, items: pa.Table, category: str) -> pa.Table:
    """Rows with the ``category`` of their item; "" where the items do not know it, or where none is named."""
    if not category:
        return rows.append_column("category", pa.array([""] * rows.num_rows, pa.string()))
    found = pc.index_in(rows.column("item_id"), value_set=items.column("item_id").combine_chunks())
    names = pc.fill_null(items.column(category).combine_chunks().take(found.combine_chunks()), "")
    return rows.append_column("category", names)


def _split(days: tuple[str, ...], number: int, processed: str, category: str, folder: str, count: int) -> list[int]:
    names = ["user_id", "item_id", "event_time", "event_id", "event_type", "region"]
    events = store.read_days(f"{processed}/events", days, names)
    items = store.read(f"{processed}/items.parquet", ["item_id", *filter(None, [category])])
    rows = with_category(interactions(events).drop(["event_type"]), items, category)
    users = pc.dictionary_encode(rows.column("user_id")).combine_chunks()
    hashes = store.hash64(np.array(users.dictionary.to_pylist(), object)) % np.uint64(count)
    groups = hashes[users.indices.to_numpy()].astype(np.int64) if len(hashes) else np.empty(0, np.int64)
    store.write_split(rows.append_column("group", pa.array(groups)), folder, "group", f"part-{number:05d}")
    return np.unique(groups).tolist()
