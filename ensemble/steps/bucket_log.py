"""Interactions by bucket, indexed by time, and the vectors over the catalogue that were made of them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from contracts.features import FIRST_VALUE
from contracts.metrics import HIT, MISS
from ensemble.steps.tables import Buckets

#: Most numbers kept, 8 bytes each: 128 MiB; a vector is as long as the catalogue.
_MOST_KEPT = 1 << 24
#: In place of a region: all of them together.
EVERYWHERE = None


class BucketLog:
    """Buckets in the order of their regions and of their time; vectors are ``[items]``, row i = code i + 3."""

    def __init__(self, buckets: Buckets, items: int):
        self.regions = buckets.regions
        self.first = int(buckets.number.min()) if len(buckets.number) else None
        self.appears = np.full(items, np.iinfo(np.int64).max)
        np.minimum.at(self.appears, buckets.item - FIRST_VALUE, buckets.number)
        self._buckets = buckets
        self._items = items
        self._region_starts = np.searchsorted(buckets.region, np.arange(len(buckets.regions) + 1))
        self._by_time = np.argsort(buckets.number, kind="stable")
        self._numbers_by_time = buckets.number[self._by_time]

    def decayed(self, first: int, end: int, hours: float, half_life_hours: float, region: str | None) -> np.ndarray:
        """Counts of the buckets ``[first, end)`` of ``hours`` each, float64; those of bucket ``end - 1`` weigh 1."""
        rows = self._between(first, end, region)
        numbers = self._buckets.number[rows]
        oldest = int(numbers.min(initial=end))
        # A weight a bucket, gathered: an exponential for each of a million rows would take ten times as long.
        by_bucket = np.exp2(-(end - 1 - np.arange(oldest, end)) * hours / half_life_hours)
        weights = self._buckets.count[rows] * by_bucket[numbers - oldest]
        return np.bincount(self._buckets.item[rows], weights, self._items + FIRST_VALUE)[FIRST_VALUE:]

    def _between(self, first: int, end: int, region: str | None) -> slice | np.ndarray:
        """Rows of the buckets ``[first, end)``."""
        if region is None:
            low, high = np.searchsorted(self._numbers_by_time, (first, end))
            return self._by_time[low:high]
        place = self.regions.get(region)
        if place is None:
            return slice(0, 0)
        start, stop = self._region_starts[place], self._region_starts[place + 1]
        low, high = start + np.searchsorted(self._buckets.number[start:stop], (first, end))
        return slice(low, high)


class Lookups:
    """How often what is kept was there when it was looked for, by all threads; outlives what is kept."""

    def __init__(self):
        self._lock = threading.Lock()
        self._counted: Counter[str] = Counter()

    def count(self, outcome: str) -> None:
        """Count one look: ``HIT`` or ``MISS``."""
        with self._lock:
            self._counted[outcome] += 1

    def counts(self) -> Counter[str]:
        """Looks since the last call, by outcome."""
        with self._lock:
            counted, self._counted = self._counted, Counter()
        return counted


class Counted:
    """All that is counted: the release's log, and that of later buckets where there is one.

    It never changes: newer counts make another, which has nothing of this one's vectors.

    Attributes:
        first: the oldest bucket.
        appears: int64 ``[items]``, the first bucket that names an item.
    """

    def __init__(self, logs: Sequence[BucketLog], lookups: Lookups):
        self._logs = logs
        self._lookups = lookups
        self._lock = threading.Lock()
        self._kept: dict[tuple[object, ...], np.ndarray] = {}
        self.first = min((log.first for log in logs if log.first is not None), default=0)
        self.appears = np.minimum.reduce([log.appears for log in logs])

    def knows(self, region: str) -> bool:
        """Whether anything was counted in a region."""
        return any(region in log.regions for log in self._logs)

    def decayed(self, first: int, end: int, hours: float, half_life_hours: float, region: str | None) -> np.ndarray:
        """``BucketLog.decayed`` of all together."""
        return np.sum([log.decayed(first, end, hours, half_life_hours, region) for log in self._logs], axis=0)

    def keep(self, key: tuple[object, ...], compute: Callable[[], np.ndarray]) -> np.ndarray:
        """What was made under that key, or is made now; for all threads, and for none to write to.

        Two who miss at once both compute, and agree.
        """
        with self._lock:
            found = self._kept.get(key)
        self._lookups.count(MISS if found is None else HIT)
        if found is not None:
            return found
        made = compute()
        made.flags.writeable = False
        with self._lock:
            if (len(self._kept) + 1) * len(made) > _MOST_KEPT:
                self._kept.clear()
            return self._kept.setdefault(key, made)
