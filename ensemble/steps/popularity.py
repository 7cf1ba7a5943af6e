"""How often items are interacted with, as of a day, from buckets of closed days only.

Day d is visible from the start of day d + 1 on, in training rows as in serving, so that no answer knows its own day.
Results are kept per day: they change once in 24 hours.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from contracts.features import FIRST_VALUE, MS_PER_DAY
from ensemble.steps.tables import Tables

#: Most vectors kept; a vector is as long as the catalogue.
_MOST_KEPT = 256
#: Interactions a day below which a rate's ratio says nothing.
_LEAST_RATE = 0.01


class Popularity:
    """Decayed interaction counts of the catalogue, float64 ``[items]``, row i = code i + 3."""

    def __init__(self, tables: Tables):
        self._tables = tables
        self._buckets = tables.buckets
        self._region_starts = np.searchsorted(tables.buckets.region, np.arange(len(tables.buckets.regions) + 1))
        self._first_day = int(tables.buckets.day.min()) if len(tables.buckets.day) else 0
        self._last_day = int(tables.buckets.day.max(initial=0))
        self._kept: dict[tuple[object, ...], np.ndarray] = {}

    def counts(self, as_of: int, half_life_days: float) -> np.ndarray:
        """Counts of all regions; yesterday's weigh 1, and half a half-life earlier."""
        day = as_of // MS_PER_DAY
        return self._keep(("counts", day, half_life_days), lambda: self._decayed(day, half_life_days, slice(None)))

    def trend(self, as_of: int) -> np.ndarray:
        """Log of the interactions a day over the shortest half-life against those over the longest."""
        day = as_of // MS_PER_DAY
        half_lives = self._tables.features.popularity_half_lives_days
        short, long = half_lives[0], half_lives[-1]
        return self._keep(("trend", day), lambda: self._log_rate(as_of, short) - self._log_rate(as_of, long))

    def trending(self, as_of: int, region: str) -> np.ndarray:
        """What is in demand in a region, from 0 to 1 (the first of the list).

        A region's own counts are joined by those of all regions, scaled to ``trending_min_count``; a region with fewer
        than that of its own has the list of all regions.
        """
        day = as_of // MS_PER_DAY
        index = self._buckets.regions.get(region, -1)
        return self._keep(("trending", day, index), lambda: self._trending(as_of, index))

    def trending_order(self, as_of: int, region: str) -> np.ndarray:
        """Catalogue rows from the most to the least in demand; of equals the smaller first."""
        day = as_of // MS_PER_DAY
        index = self._buckets.regions.get(region, -1)
        return self._keep(("order", day, index), lambda: np.argsort(-self.trending(as_of, region), kind="stable"))

    def _trending(self, as_of: int, region: int) -> np.ndarray:
        settings = self._tables.serve
        total = self.counts(as_of, settings.trending_half_life_days)
        if region >= 0:
            rows = slice(self._region_starts[region], self._region_starts[region + 1])
            own = self._decayed(as_of // MS_PER_DAY, settings.trending_half_life_days, rows)
            if own.sum() >= settings.trending_min_count:
                total = own + total * (settings.trending_min_count / total.sum())
        most = total.max(initial=0.0)
        return total / most if most > 0 else total

    def _log_rate(self, as_of: int, half_life_days: float) -> np.ndarray:
        """Log of the interactions a day: counts over the weight of the days that there are."""
        age = np.arange(max(as_of // MS_PER_DAY - self._first_day, 1))
        return np.log(self.counts(as_of, half_life_days) / np.exp2(-age / half_life_days).sum() + _LEAST_RATE)

    def _decayed(self, day: int, half_life_days: float, rows: slice) -> np.ndarray:
        days = self._buckets.day[rows]
        # A weight a day, gathered: an exponential for each of a million buckets would take ten times as long.
        ages = day - 1 - np.arange(self._first_day, self._last_day + 1)
        by_day = np.where(ages >= 0, np.exp2(-np.maximum(ages, 0) / half_life_days), 0.0)
        weights = self._buckets.count[rows] * by_day[days - self._first_day]
        return np.bincount(self._buckets.item[rows], weights, self._tables.items + FIRST_VALUE)[FIRST_VALUE:]

    def _keep(self, key: tuple[object, ...], compute: Callable[[], np.ndarray]) -> np.ndarray:
        found = self._kept.get(key)
        if found is None:
            found = compute()
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[key] = found
        return found
