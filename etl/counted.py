"""Counts by key that groups of users give in parts, put together: statistics of items that grow as the log does."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from etl import store


def counts(columns: dict[str, np.ndarray]) -> pa.Table:
    """How often each combination occurs: the columns, int32, and ``count``, int64."""
    table = pa.table({name: pa.array(values, pa.int32()) for name, values in columns.items()})
    return _summed(table.append_column("count", pa.array(np.ones(table.num_rows, np.int64))), list(columns))


def write(parts: Sequence[str], key: list[str], url: str) -> None:
    """One file of the counts of all groups of users together, sorted."""
    table = _summed(store.read_all(list(parts), [*key, "count"]), key)
    store.write(table.sort_by([(name, "ascending") for name in key]), url)


def _summed(table: pa.Table, key: list[str]) -> pa.Table:
    summed = table.group_by(key).aggregate([("count", "sum")])
    return summed.select([*key, "count_sum"]).rename_columns([*key, "count"])
