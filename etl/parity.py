"""Behaviour rows of (user, instant) pairs and buckets of a file of events: the batch side of the parity tests."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts import artifacts
from contracts.config import Config
from etl import behaviour, grouping, history, store, timeline


def run(config: Config, root: str, events: str, queries: str, out: str, buckets: str | None) -> dict[str, Any]:
    """Write ``queries`` (``user_id``, ``as_of``) with their raw behaviour columns to ``out``.

    ``buckets``, where it is given, gets the interactions by ``bucket``, ``region`` and ``item_id``, of every item.

    Of events with one id the first row counts; without a ``value`` column there is no dwell. Without a ``category``
    column the categories come from the processed items of the configuration.
    """
    table = store.read(events)
    _, first = np.unique(table.column("event_id").to_pandas().to_numpy(object), return_index=True)
    table = table.take(pa.array(np.sort(first)))
    if "value" not in table.column_names:
        table = table.append_column("value", pa.nulls(table.num_rows, pa.float64()))
    table = history.foldable(table)
    if "region" not in table.column_names:
        table = table.append_column("region", pa.nulls(table.num_rows, pa.string()))
    if "category" not in table.column_names:
        category = config.features.category
        items = timeline.read(artifacts.zones(root, config).processed, "items", [category] if category else [])
        table = grouping.with_category(table, items, category)
    log = history.build(table)
    asked = store.read(queries, ["user_id", "as_of"])
    user = log.number(asked.column("user_id").to_pandas().to_numpy(object))
    made = behaviour.rows(log, user, asked.column("as_of").to_numpy(), config.features)
    for name in reversed(asked.column_names):
        made = made.add_column(0, name, asked.column(name))
    store.write(made, out)
    if buckets:
        interactions = table.filter(pc.is_null(table.column("dwell_ms")))
        store.write(grouping.bucket_counts(interactions, config.features.bucket_minutes), buckets)
    return {"events": table.num_rows, "queries": asked.num_rows}
