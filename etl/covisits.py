"""Which item was taken right after which, by bucket of time: item-to-item statistics that grow as the log does."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from contracts import artifacts
from contracts.buckets import bucket_ms
from contracts.config import FeatureSettings
from contracts.features import MS_PER_MINUTE
from etl import device, store
from etl.history import History

KEY = ["bucket", "item_code", "next_code"]


def counted(log: History, item_codes: np.ndarray, settings: FeatureSettings) -> pa.Table:
    """Pairs of different catalogue items that a user took one after the other in a session, counted.

    Args:
        log: some users' interactions.
        item_codes: code of every item of the log, -1 outside the catalogue.
        settings: the length of a bucket and the gap between sessions. Items of one instant are no pair.

    Returns:
        ``bucket`` int32 (that of the later), ``item_code`` and ``next_code`` int32, ``count`` int64.
    """
    user, time = device.to_host(log.user), device.to_host(log.time)
    code = item_codes[device.to_host(log.item)]
    gap = np.diff(time)
    pair = (np.diff(user) == 0) & (gap > 0) & (gap <= settings.session_gap_minutes * MS_PER_MINUTE)
    pair &= (code[1:] >= 0) & (code[:-1] >= 0) & (code[1:] != code[:-1])
    columns = time[1:][pair] // bucket_ms(settings), code[:-1][pair], code[1:][pair]
    table = pa.table([pa.array(column, pa.int32()) for column in columns], KEY)
    return _summed(table.append_column("count", pa.array(np.ones(table.num_rows, np.int64))))


def write(parts: Sequence[str], zone: artifacts.Zones) -> None:
    """``covisits.parquet``: the counts of all groups of users together, sorted."""
    table = _summed(store.read_all(list(parts), [*KEY, "count"]))
    store.write(table.sort_by([(name, "ascending") for name in KEY]), f"{zone.features}/covisits.parquet")


def _summed(table: pa.Table) -> pa.Table:
    summed = table.group_by(KEY).aggregate([("count", "sum")])
    return summed.select([*KEY, "count_sum"]).rename_columns([*KEY, "count"])
