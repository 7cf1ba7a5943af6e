"""Behaviour rows of given (user, instant) pairs from a file of events: the batch side of the parity tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from contracts import artifacts
from contracts.config import Config
from etl import behaviour, grouping, history, store, timeline


def run(config: Config, root: str, events: str, queries: str, out: str) -> dict[str, Any]:
    """Write ``queries`` (``user_id``, ``as_of``) with their raw behaviour columns to ``out``.

    Of events with one id the first row counts; without a ``value`` column there is no dwell. Without a ``category``
    column the categories come from the processed items of the configuration.
    """
    rows = store.read(events)
    _, first = np.unique(rows.column("event_id").to_pandas().to_numpy(object), return_index=True)
    rows = rows.take(pa.array(np.sort(first)))
    if "value" not in rows.column_names:
        rows = rows.append_column("value", pa.nulls(rows.num_rows, pa.float64()))
    rows = history.foldable(rows)
    if "region" not in rows.column_names:
        rows = rows.append_column("region", pa.nulls(rows.num_rows, pa.string()))
    if "category" not in rows.column_names:
        category = config.features.category
        items = timeline.read(artifacts.zones(root, config).processed, "items", [category] if category else [])
        rows = grouping.with_category(rows, items, category)
    log = history.build(rows)
    asked = store.read(queries, ["user_id", "as_of"])
    user = log.number(asked.column("user_id").to_pandas().to_numpy(object))
    table = behaviour.rows(log, user, asked.column("as_of").to_numpy(), config.features)
    for name in reversed(asked.column_names):
        table = table.add_column(0, name, asked.column(name))
    store.write(table, out)
    return {"events": rows.num_rows, "queries": asked.num_rows}
