"""How often items are interacted with, as of an instant, from buckets of time that were closed by then.

A bucket is visible from its end on, in training rows as in serving, so that no answer knows the bucket that it is given
in. Vectors are kept by bucket: they change when one closes. ``take`` adds what the stream has counted since.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from contracts.buckets import bucket_ms
from contracts.features import FIRST_VALUE, MS_PER_DAY
from ensemble.steps.bucket_log import EVERYWHERE, BucketLog, Counted, Lookups
from ensemble.steps.envelope import Envelope
from ensemble.steps.tables import Buckets, Tables

#: Interactions a day below which a rate's ratio says nothing.
_LEAST_RATE = 0.01


class Popularity:
    """Decayed interaction counts of the catalogue, float64 ``[items]``, row i = code i + 3.

    Attributes:
        lookups: of the vectors that are kept.
    """

    def __init__(self, tables: Tables, lookups: Lookups | None = None):
        """Of the interactions in ``tables.buckets``; looks for what is kept are counted with those of ``lookups``."""
        self._tables = tables
        self.lookups = lookups or Lookups()
        self._released = BucketLog(tables.buckets, tables.items)
        self._counted = Counted([self._released], self.lookups)
        self._length = bucket_ms(tables.features)
        self._hours = tables.features.bucket_minutes / 60
        self._buckets_a_day = MS_PER_DAY // self._length

    def take(self, newer: Buckets) -> None:
        """Count what came after the release's buckets: all of it, at each call.

        One assignment, safe beside whoever asks: what was made of earlier counts stays with them.
        """
        self._counted = Counted([self._released, BucketLog(newer, self._tables.items)], self.lookups)

    def counts(self, as_of: int, half_life_hours: float) -> np.ndarray:
        """Counts of all regions; those of the newest closed bucket weigh 1, and half a half-life earlier."""
        return self._counts(self._counted, as_of // self._length, half_life_hours, EVERYWHERE)

    def log_rate(self, as_of: int, half_life_hours: float, column: str = "") -> np.ndarray:
        """Log of the interactions a day; with a column, of all items together that share an item's value in it."""
        return self._log_rate(self._counted, as_of // self._length, half_life_hours, column)

    def trend(self, as_of: int) -> np.ndarray:
        """Log of the interactions a day over the shortest half-life against those over the longest."""
        return self.trend_of("", as_of)

    def trend_of(self, column: str, as_of: int) -> np.ndarray:
        """The same of all items together that share an item's value in a column: a season lifts whole shelves."""
        counted, now = self._counted, as_of // self._length
        half_lives = self._tables.features.popularity_half_lives_hours

        def compute() -> np.ndarray:
            short, long = (self._log_rate(counted, now, hours, column) for hours in (half_lives[0], half_lives[-1]))
            return short - long

        return counted.keep(("trend", column, now), compute)

    def appeared(self, as_of: int) -> np.ndarray:
        """Which items may be answered, bool ``[items]``: of a live catalogue those that a closed bucket names."""
        counted, now, live = self._counted, as_of // self._length, self._tables.features.live_items
        return counted.keep(("appeared", now), lambda: counted.appears < (now if live else np.inf))

    def age_hours(self, as_of: int) -> np.ndarray:
        """Hours since the bucket began in which an item was first met, 0 before it is closed, float64 ``[items]``."""
        counted, now = self._counted, as_of // self._length
        age = (now - counted.appears) * self._hours
        return counted.keep(("age", now), lambda: np.where(counted.appears < now, age, 0.0))

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
        counted, now = self._counted, as_of // self._length
        place = region if counted.knows(region) else EVERYWHERE
        return counted.keep(("trending", now, place), lambda: self._trending(counted, now, place))

    def _trending(self, counted: Counted, now: int, region: str | None) -> np.ndarray:
        settings = self._tables.serve
        total = self._counts(counted, now, settings.trending_half_life_hours, EVERYWHERE)
        if region is not EVERYWHERE and (whole := total.sum()) > 0:
            own = self._counts(counted, now, settings.trending_half_life_hours, region)
            total = own + total * (settings.trending_min_count / whole)
        most = total.max(initial=0.0)
        return total / most if most > 0 else total

    def _log_rate(self, counted: Counted, now: int, half_life_hours: float, column: str) -> np.ndarray:
        """Counts over the weight of the days that there are."""

        def compute() -> np.ndarray:
            counts = self._counts(counted, now, half_life_hours, EVERYWHERE)
            if column:
                own = self._tables.item_codes[column][FIRST_VALUE:]
                counts = np.bincount(own, counts)[own]
            age = np.arange(max(now - counted.first, 1))
            days = np.exp2(-age * self._hours / half_life_hours).sum() / self._buckets_a_day
            return np.log(counts / days + _LEAST_RATE)

        return counted.keep(("rate", now, half_life_hours, column), compute)

    def _counts(self, counted: Counted, now: int, half_life_hours: float, region: str | None) -> np.ndarray:
        """Counts as of the start of bucket ``now``: those as of midnight, decayed, and the buckets since.

        Midnight's are summed up from the whole log, once, so that a bucket that closes costs the rows of its day; and
        what is answered for an instant does not depend on what was asked before.
        """
        midnight = now - now % self._buckets_a_day

        def compute() -> np.ndarray:
            if now == midnight:
                return counted.decayed(counted.first, now, self._hours, half_life_hours, region)
            known = self._counts(counted, midnight, half_life_hours, region)
            fresh = counted.decayed(midnight, now, self._hours, half_life_hours, region)
            return known * np.exp2(-(now - midnight) * self._hours / half_life_hours) + fresh

        return counted.keep(("counts", now, half_life_hours, region), compute)
