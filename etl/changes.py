"""What ``item_update`` and ``user_update`` events make of the attributes: the newest ones, and the former with times.

Events are put in the order of (id, time, event id), whatever order they came in; an attribute that an event does not
name keeps its value, one set to "" becomes missing. All events of one instant are one change.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from contracts.events import EventType
from etl import store

#: The time from which on the table's own values hold: before every event.
BEGINNING = 0
#: Key of a table -> the events that change it.
KINDS = {"item_id": EventType.ITEM_UPDATE.value, "user_id": EventType.USER_UPDATE.value}
_READ = ("event_id", "event_type", "event_time", "user_id", "item_id", "attributes")
#: Stands for a number that is known to be missing, while NaN means that nothing was said of it.
_MISSING = np.inf


class Derived(NamedTuple):
    """A table of attributes as events changed it.

    Attributes:
        newest: one row an id, sorted by id; ids that only events name are among them.
        changes: the key, ``valid_from`` (int64 ms) and the attributes from then on, sorted by both, of ids with a
            change only. The first row of an id is from the ``BEGINNING`` on: what the table says, or nothing.
        unknown: attribute that the table does not have -> how often it was named.
        unreadable: numeric attribute -> values that are no finite number; the former one stayed.
    """

    newest: pa.Table
    changes: pa.Table
    unknown: dict[str, int]
    unreadable: dict[str, int]


def among(events: pa.Table) -> bool:
    """Whether there are updates among events."""
    return bool(pc.any(pc.is_in(events.column("event_type"), value_set=pa.array(list(KINDS.values())))).as_py())


def read(folder: str, files: Sequence[str]) -> pa.Table:
    """The updates among the events of some files below a folder."""
    urls = [f"{folder}/{name}" for name in files]
    return store.read_where(urls, _READ, pc.field("event_type").isin(list(KINDS.values())))


def derive(table: pa.Table, updates: pa.Table | None, key: str) -> Derived:
    """Apply updates to a table.

    Args:
        table: the key and the attributes, one row an id, sorted by id: strings ("" is missing) and float64 (NaN is).
        updates: as ``read`` gives them; None when there are none.
        key: the table's key.
    """
    schema = table.schema.insert(1, pa.field("valid_from", pa.int64()))
    rows = updates and updates.filter(pc.equal(updates.column("event_type"), KINDS[key]))
    if rows is None or not rows.num_rows:
        return Derived(table, schema.empty_table(), {}, {})
    said, unknown, unreadable = _said(rows, table, key)
    held = table.to_pandas()
    kinds = dict(zip(table.column_names, table.schema.types))
    nothing = {name: "" if pa.types.is_string(kind) else _MISSING for name, kind in kinds.items() if name != key}
    base = held.set_index(key).reindex(pd.unique(said[key])).fillna(nothing).reset_index()
    log = pd.concat([base.assign(valid_from=BEGINNING, event_id=""), said], ignore_index=True)
    log = log.sort_values([key, "valid_from", "event_id"], ignore_index=True)
    names = list(nothing)
    for name in names:
        log[name] = log.groupby(key, sort=False)[name].ffill()
    log = log.drop_duplicates([key, "valid_from"], keep="last")
    news = np.array(log["valid_from"] == BEGINNING)
    for name in names:
        news |= np.array(log[name] != log[name].shift())
    for name in names:
        log[name] = log[name].replace(_MISSING, np.nan)
    changes = log[news]
    newest = pd.concat([held[~held[key].isin(base[key])], log.drop_duplicates(key, keep="last")[[key, *names]]])
    return Derived(
        pa.Table.from_pandas(newest.sort_values(key), table.schema, preserve_index=False),
        pa.Table.from_pandas(changes[changes[key].duplicated(keep=False)], schema, preserve_index=False),
        unknown,
        unreadable,
    )


def _said(rows: pa.Table, table: pa.Table, key: str) -> tuple[pd.DataFrame, dict[str, int], dict[str, int]]:
    """A row an update: key, ``valid_from``, ``event_id``, and what it says of each attribute (null: nothing).

    Second and third: ``Derived.unknown`` and ``unreadable``.
    """
    said = rows.select([key, "event_time", "event_id"]).to_pandas().set_axis([key, "valid_from", "event_id"], axis=1)
    parent, names, values = _entries(rows.column("attributes"))
    counts = Counter({each["values"]: each["counts"] for each in pc.value_counts(names).to_pylist()})
    unreadable: dict[str, int] = {}
    for name, kind in zip(table.column_names, table.schema.types):
        if name == key:
            continue
        del counts[name]
        here = np.asarray(pc.fill_null(pc.and_(pc.equal(names, name), pc.is_valid(values)), False))
        given = pd.Series(values.filter(pa.array(here)).to_pandas().to_numpy(object), parent[here], object)
        if pa.types.is_floating(kind):
            given = _numbers(given)
            if given.isna().any():
                unreadable[name] = int(given.isna().sum())
            given = given.dropna()
        said[name] = given[~given.index.duplicated(keep="last")]
    return said, dict(counts.most_common()), unreadable


def _entries(attributes: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array, pa.Array]:
    """The entries of all maps: the row that each is of, its name and its value."""
    parents, names, values, start = [np.empty(0, np.int64)], [], [], 0
    for chunk in attributes.chunks:
        offsets = chunk.offsets.to_numpy()
        parents.append(np.repeat(np.arange(start, start + len(chunk)), np.diff(offsets)))
        names.append(chunk.keys.slice(offsets[0], offsets[-1] - offsets[0]))
        values.append(chunk.items.slice(offsets[0], offsets[-1] - offsets[0]))
        start += len(chunk)
    return np.concatenate(parents), *(pa.chunked_array(each, pa.string()).combine_chunks() for each in (names, values))


def _numbers(texts: pd.Series) -> pd.Series:
    """Texts as finite numbers, NaN where they are none; "" says that the number is missing."""
    numbers = pd.to_numeric(texts, errors="coerce").astype(np.float64)
    return numbers.where(np.isfinite(numbers)).mask(texts == "", _MISSING)
