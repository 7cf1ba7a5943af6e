"""Interactions by bucket, indexed by time, and the vectors over the catalogue that were made of them.

A log never changes: newer buckets make a new one, which has nothing of the old one's vectors.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from contracts.features import FIRST_VALUE
from ensemble.steps.tables import Buckets

#: Most numbers kept, 8 bytes each: 128 MiB; a vector is as long as the catalogue.
_MOST_KEPT = 1 << 24
#: In place of a region: all of them together.
EVERYWHERE = -1


class BucketLog:
    """Decayed counts of the catalogue, float64 ``[items]``, row i = code i + 3."""

    def __init__(self, buckets: Buckets, items: int):
        self.buckets = buckets
        self.first = int(buckets.number.min()) if len(buckets.number) else 0
        self.appears = np.full(items, np.iinfo(np.int64).max)
        np.minimum.at(self.appears, buckets.item - FIRST_VALUE, buckets.number)
        self._items = items
        self._region_starts = np.searchsorted(buckets.region, np.arange(len(buckets.regions) + 1))
        self._by_time = np.argsort(buckets.number, kind="stable")
        self._numbers_by_time = buckets.number[self._by_time]
        self._kept: dict[tuple[object, ...], np.ndarray] = {}

    def with_newer(self, newer: Buckets) -> BucketLog:
        """The same with what came after its last bucket; what ``newer`` says of earlier ones is in it already."""
        last, old = int(self.buckets.number.max(initial=-1)), self.buckets
        later = newer.number > last
        regions = dict(old.regions)
        for name in newer.regions:
            regions.setdefault(name, len(regions))
        places = np.array([regions[name] for name in newer.regions], np.int32)
        added = newer.number[later], places[newer.region[later]], newer.item[later], newer.count[later]
        held = old.number, old.region, old.item, old.count
        number, region, item, count = (np.concatenate(pair) for pair in zip(held, added))
        order = np.lexsort((number, region))
        return BucketLog(Buckets(number[order], region[order], item[order], count[order], regions), self._items)

    def decayed(self, first: int, end: int, hours: float, half_life_hours: float, region: int) -> np.ndarray:
        """Counts of the buckets ``[first, end)`` of ``hours`` each; those of bucket ``end - 1`` weigh 1."""
        rows = self._between(first, end, region)
        numbers = self.buckets.number[rows]
        oldest = int(numbers.min(initial=end))
        # A weight a bucket, gathered: an exponential for each of a million rows would take ten times as long.
        by_bucket = np.exp2(-(end - 1 - np.arange(oldest, end)) * hours / half_life_hours)
        weights = self.buckets.count[rows] * by_bucket[numbers - oldest]
        return np.bincount(self.buckets.item[rows], weights, self._items + FIRST_VALUE)[FIRST_VALUE:]

    def keep(self, key: tuple[object, ...], compute: Callable[[], np.ndarray]) -> np.ndarray:
        """What was made under that key, or is made now."""
        found = self._kept.get(key)
        if found is None:
            found = compute()
            if (len(self._kept) + 1) * len(found) > _MOST_KEPT:
                self._kept.clear()
            self._kept[key] = found
        return found

    def _between(self, first: int, end: int, region: int) -> slice | np.ndarray:
        """Rows of the buckets ``[first, end)``."""
        if region == EVERYWHERE:
            low, high = np.searchsorted(self._numbers_by_time, (first, end))
            return self._by_time[low:high]
        start, stop = self._region_starts[region], self._region_starts[region + 1]
        low, high = start + np.searchsorted(self.buckets.number[start:stop], (first, end))
        return slice(low, high)
