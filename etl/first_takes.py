"""How many users took an item for the first time, by bucket of time.

Where what was taken is not answered again, these are the people whom a list is made for.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from contracts.buckets import bucket_ms
from contracts.config import FeatureSettings
from etl import counted, device, profile
from etl.history import History

KEY = ["bucket", "item_code"]


def of(log: History, item_codes: np.ndarray, settings: FeatureSettings) -> pa.Table:
    """Each user's first interaction with each catalogue item, counted.

    Args:
        log: some users' interactions.
        item_codes: code of every item of the log, -1 outside the catalogue.
        settings: the length of a bucket.

    Returns:
        ``bucket`` and ``item_code`` int32, ``count`` int64.
    """
    code = item_codes[device.to_host(log.item)]
    first = (device.to_host(profile.neighbours(log)[0]) < 0) & (code >= 0)
    bucket = device.to_host(log.time)[first] // bucket_ms(settings)
    return counted.counts(dict(zip(KEY, (bucket, code[first]))))
