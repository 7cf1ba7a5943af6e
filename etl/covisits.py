"""Which item was taken right after which, by bucket of time: item-to-item statistics that grow as the log does."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from contracts.buckets import bucket_ms
from contracts.config import FeatureSettings
from contracts.features import MS_PER_MINUTE
from etl import counted, device
from etl.history import History

KEY = ["bucket", "item_code", "next_code"]


def of(log: History, item_codes: np.ndarray, settings: FeatureSettings) -> pa.Table:
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
    return counted.counts(dict(zip(KEY, columns)))
