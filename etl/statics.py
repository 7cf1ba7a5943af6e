"""Item and user attributes: source tables and update events -> ``processed/items.parquet`` and ``users.parquet``.

Beside them lie ``item_changes.parquet`` and ``user_changes.parquet``: what was true at earlier times. Text columns are
strings and a missing attribute is "", as in the online store; numeric columns are float64 with NaN.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from contracts.config import Config, Table
from contracts.errors import shown_name
from etl import changes, ledger, source, store

#: Unknown attributes that are named one by one; an update may come with any.
NAMED = 20


def run(config: Config, processed: str, files: Sequence[str]) -> dict[str, Any]:
    """Write both tables and their changes; what was said of them, by table.

    Args:
        config: the data set.
        processed: its processed zone.
        files: the files of events that hold updates (``Ledger.updates``).
    """
    updates = changes.read(f"{processed}/{ledger.EVENTS}", files) if files else None
    facts: dict[str, Any] = {}
    for name, key, table, numeric in (
        ("items", "item_id", config.source.items, config.features.item_numeric),
        ("users", "user_id", config.source.users, ()),
    ):
        found = changes.derive(attributes(table, key, numeric), updates, key)
        store.write(found.newest, f"{processed}/{name}.parquet")
        store.write(found.changes, f"{processed}/{name[:-1]}_changes.parquet")
        named = dict(list(found.unknown.items())[:NAMED])
        facts[name] = {"changes": found.changes.num_rows, "unknown": named, "unreadable": found.unreadable}
    return facts


def remarks(facts: Mapping[str, Any]) -> Iterator[str]:
    """What a person should know of ``run``'s facts, a line each."""
    for name, found in facts.items():
        update = changes.KINDS[f"{name[:-1]}_id"]
        if found["unknown"]:
            named = ", ".join(f"{shown_name(each)} ({times:,} times)" for each, times in found["unknown"].items())
            yield f"{update} names what is no column of source.{name}.columns, which changes nothing: {named}"
        for column, values in found["unreadable"].items():
            yield f"{update} gives {values:,} values of {column} that are no number: the former ones stay"


def attributes(table: Table, key: str, numeric: tuple[str, ...]) -> pa.Table:
    """One row an id (its first), sorted by id; rows without an id go. A table without a URL has no rows."""
    schema = pa.schema({name: pa.float64() if name in numeric else pa.string() for name in table.columns or (key,)})
    if not table.url:
        return schema.empty_table()
    rows = source.read_all(table.url, list(table.columns.values()), table)
    columns = {}
    for ours, theirs in table.columns.items():
        values = rows.column(theirs).combine_chunks()
        if ours in numeric:
            columns[ours] = pa.array(np.asarray(pd.to_numeric(values.to_pandas(), errors="coerce"), np.float64))
        else:
            columns[ours] = pc.fill_null(pc.cast(values, pa.string()), "")
    frame = pa.table(columns).to_pandas()
    frame = frame[frame[key] != ""].drop_duplicates(key).sort_values(key)
    return pa.Table.from_pandas(frame, schema, preserve_index=False)
