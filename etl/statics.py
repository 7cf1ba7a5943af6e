"""Item and user attributes: source tables -> ``processed/items.parquet`` and ``users.parquet``.

Text columns are strings and a missing attribute is "", as in the online store; numeric columns are float64 with NaN.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from contracts.config import Config, Table
from etl import source, store


def run(config: Config, processed: str) -> None:
    """Write both tables."""
    features, tables = config.features, config.source
    store.write(attributes(tables.items, "item_id", features.item_numeric), f"{processed}/items.parquet")
    store.write(attributes(tables.users, "user_id", ()), f"{processed}/users.parquet")


def attributes(table: Table, key: str, numeric: tuple[str, ...]) -> pa.Table:
    """One row an id (its first), sorted by id; rows without an id go. A table without a URL has no rows."""
    if not table.url:
        return pa.table({name: pa.array([], pa.string()) for name in (key, *table.columns)})
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
    return pa.Table.from_pandas(frame, preserve_index=False)
