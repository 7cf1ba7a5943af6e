"""How often items are interacted with, as of an instant, from buckets of time that were closed by then.

A bucket is visible from its end on, in training rows as in serving, so that no answer knows the bucket that it is given
in. Vectors are kept by bucket: they change when one closes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from contracts.buckets import bucket_ms
from contracts.features import FIRST_VALUE, MS_PER_DAY
from ensemble.steps.envelope import Envelope
from ensemble.steps.tables import Tables

#: Most numbers kept, 8 bytes each: 128 MiB; a vector is as long as the catalogue.
_MOST_KEPT = 1 << 24
#: Interactions a day below which a rate's ratio says nothing.
_LEAST_RATE = 0.01
#: In place of a region: all of them together.
_EVERYWHERE = -1


class Popularity:
    """Decayed interaction counts of the catalogue, float64 ``[items]``, row i = code i + 3."""

    def __init__(self, tables: Tables):
        self._tables = tables
        self._buckets = tables.buckets
        self._length = bucket_ms(tables.features)
        self._hours = tables.features.bucket_minutes / 60
        self._buckets_a_day = MS_PER_DAY // self._length
        self._region_starts = np.searchsorted(tables.buckets.region, np.arange(len(tables.buckets.regions) + 1))
        self._by_time = np.argsort(tables.buckets.number, kind="stable")
        self._numbers_by_time = tables.buckets.number[self._by_time]
        self._first = int(tables.buckets.number.min()) if len(tables.buckets.number) else 0
        self._appears = np.full(tables.items, np.iinfo(np.int64).max)
        np.minimum.at(self._appears, tables.buckets.item - FIRST_VALUE, tables.buckets.number)
        self._kept: dict[tuple[object, ...], np.ndarray] = {}

    def counts(self, as_of: int, half_life_hours: float) -> np.ndarray:
        """Counts of all regions; those of the newest closed bucket weigh 1, and half a half-life earlier."""
        return self._counts(as_of // self._length, half_life_hours, _EVERYWHERE)

    def log_rate(self, as_of: int, half_life_hours: float, column: str = "") -> np.ndarray:
        """Log of the interactions a day; with a column, of all items together that share an item's value in it."""
        now = as_of // self._length
        codes = self._tables.item_codes[column] if column else None
        return self._keep(("rate", now, half_life_hours, column), lambda: self._log_rate(now, half_life_hours, codes))

    def trend(self, as_of: int) -> np.ndarray:
        """Log of the interactions a day over the shortest half-life against those over the longest."""
        now = as_of // self._length
        half_lives = self._tables.features.popularity_half_lives_hours
        short, long = half_lives[0], half_lives[-1]
        return self._keep(("trend", now), lambda: self._log_rate(now, short) - self._log_rate(now, long))

    def trend_of(self, column: str, as_of: int) -> np.ndarray:
        """The same of all items together that share an item's value in a column: a season lifts whole shelves."""
        now = as_of // self._length
        half_lives = self._tables.features.popularity_half_lives_hours
        short, long = half_lives[0], half_lives[-1]
        codes = self._tables.item_codes[column]
        return self._keep(
            ("trend", column, now), lambda: self._log_rate(now, short, codes) - self._log_rate(now, long, codes)
        )

    def appeared(self, as_of: int) -> np.ndarray:
        """Which items may be answered, bool ``[items]``: of a live catalogue those that a closed bucket names."""
        now = as_of // self._length
        live = self._tables.features.live_items
        return self._keep(("appeared", now), lambda: self._appears < (now if live else np.inf))

    def age_hours(self, as_of: int) -> np.ndarray:
        """Hours since the bucket began in which an item was first met, 0 before it is closed, float64 ``[items]``."""
        now = as_of // self._length
        age = (now - self._appears) * self._hours
        return self._keep(("age", now), lambda: np.where(self._appears < now, age, 0.0))

    def at_candidates(
        self, envelopes: Sequence[Envelope], ids: np.ndarray, values: Callable[[int], np.ndarray]
    ) -> np.ndarray:
        """A catalogue vector of each request's instant, at its candidates, float64 ``[b, m]``."""
        index = np.maximum(ids - FIRST_VALUE, 0)
        return np.stack([values(envelope.as_of)[row] for envelope, row in zip(envelopes, index)])

    def trending(self, as_of: int, region: str) -> np.ndarray:
        """What is in demand in a region, from 0 to 1 (the first of the list).

        A region's own counts are joined by those of all regions, scaled to ``trending_min_count``: what a region of few
        interactions lists is nearly what all list (Dirichlet smoothing: Zhai & Lafferty, SIGIR 2001).
        """
        now, index = as_of // self._length, self._buckets.regions.get(region, _EVERYWHERE)
        return self._keep(("trending", now, index), lambda: self._trending(now, index))

    def _trending(self, now: int, region: int) -> np.ndarray:
        settings = self._tables.serve
        total = self._counts(now, settings.trending_half_life_hours, _EVERYWHERE)
        if region != _EVERYWHERE and (whole := total.sum()) > 0:
            own = self._counts(now, settings.trending_half_life_hours, region)
            total = own + total * (settings.trending_min_count / whole)
        most = total.max(initial=0.0)
        return total / most if most > 0 else total

    def _log_rate(self, now: int, half_life_hours: float, codes: np.ndarray | None = None) -> np.ndarray:
        """Log of the interactions a day: counts over the weight of the days that there are.

        With ``codes``, a value for every item code, interactions of all items of an item's value count as its own.
        """
        counts = self._counts(now, half_life_hours, _EVERYWHERE)
        if codes is not None:
            own = codes[FIRST_VALUE:]
            counts = np.bincount(own, counts)[own]
        age = np.arange(max(now - self._first, 1))
        days = np.exp2(-age * self._hours / half_life_hours).sum() / self._buckets_a_day
        return np.log(counts / days + _LEAST_RATE)

    def _counts(self, now: int, half_life_hours: float, region: int) -> np.ndarray:
        """Counts as of the start of bucket ``now``: those as of midnight, decayed, and the buckets since.

        Midnight's are summed up from the whole log, once, so that a bucket that closes costs the rows of its day; and
        what is answered for an instant does not depend on what was asked before.
        """
        midnight = now - now % self._buckets_a_day

        def compute() -> np.ndarray:
            if now == midnight:
                return self._decayed(now, half_life_hours, self._before(midnight, region))
            known = self._counts(midnight, half_life_hours, region)
            fresh = self._decayed(now, half_life_hours, self._between(midnight, now, region))
            return known * np.exp2(-(now - midnight) * self._hours / half_life_hours) + fresh

        return self._keep(("counts", now, half_life_hours, region), compute)

    def _before(self, end: int, region: int) -> slice | np.ndarray:
        """Rows of the buckets before ``end``."""
        if region == _EVERYWHERE:
            return np.flatnonzero(self._buckets.number < end)
        return self._between(self._first, end, region)

    def _between(self, first: int, end: int, region: int) -> slice | np.ndarray:
        """Rows of the buckets ``[first, end)``."""
        if region == _EVERYWHERE:
            low, high = np.searchsorted(self._numbers_by_time, (first, end))
            return self._by_time[low:high]
        start, stop = self._region_starts[region], self._region_starts[region + 1]
        low, high = start + np.searchsorted(self._buckets.number[start:stop], (first, end))
        return slice(low, high)

    def _decayed(self, now: int, half_life_hours: float, rows: slice | np.ndarray) -> np.ndarray:
        numbers = self._buckets.number[rows]
        first = int(numbers.min(initial=now))
        # A weight a bucket, gathered: an exponential for each of a million rows would take ten times as long.
        by_bucket = np.exp2(-(now - 1 - np.arange(first, now)) * self._hours / half_life_hours)
        weights = self._buckets.count[rows] * by_bucket[numbers - first]
        return np.bincount(self._buckets.item[rows], weights, self._tables.items + FIRST_VALUE)[FIRST_VALUE:]

    def _keep(self, key: tuple[object, ...], compute: Callable[[], np.ndarray]) -> np.ndarray:
        found = self._kept.get(key)
        if found is None:
            found = compute()
            if (len(self._kept) + 1) * len(found) > _MOST_KEPT:
                self._kept.clear()
            self._kept[key] = found
        return found
