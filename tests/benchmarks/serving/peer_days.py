"""What the peer computes once a day: everything of items that does not depend on who asks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from contracts.buckets import bucket_ms
from contracts.features import FIRST_VALUE, first_takes_column, popularity_column
from ensemble.steps.popularity import Popularity
from ensemble.steps.tables import Tables


@dataclasses.dataclass(frozen=True)
class Day:
    """What holds of items until the next bucket closes; row i = code i + 3.

    Attributes:
        columns: float32 ``[items, named]``, the ranker's columns that depend on nothing else.
        trend: float64 ``[items]``.
        trending: by region, what is in demand ``[items]`` and its order, the most wanted first.
    """

    number: int
    columns: np.ndarray
    trend: np.ndarray
    trending: dict[str, tuple[np.ndarray, np.ndarray]]


class Days:
    """The day at hand; a day is as long as a bucket."""

    def __init__(self, tables: Tables, place: Mapping[str, int]):
        """Nothing is computed yet.

        Args:
            tables: of the release.
            place: the ranker's columns by name.
        """
        self._tables, self._place = tables, place
        self._popularity = Popularity(tables)
        self._novelty = Popularity(dataclasses.replace(tables, buckets=tables.first_takes))
        self._length = bucket_ms(tables.features)
        self._day: Day | None = None

    def at(self, as_of: int) -> Day:
        """The day of an instant."""
        number = as_of // self._length
        if self._day is None or self._day.number != number:
            made = self._named(as_of)
            columns = np.zeros((self._tables.items, len(self._place)), np.float32)
            for name, values in made.items():
                columns[:, self._place[name]] = values
            self._day = Day(number, columns, made["trend"], {})
        return self._day

    def demand(self, as_of: int, region: str) -> tuple[np.ndarray, np.ndarray]:
        """What is in demand in a region, from 0 to 1, float64 ``[items]``, and its order."""
        trending = self.at(as_of).trending
        if region not in trending:
            demand = self._popularity.trending(as_of, region)
            trending[region] = demand, np.argsort(-demand, kind="stable")
        return trending[region]

    def _named(self, as_of: int) -> dict[str, np.ndarray]:
        settings = self._tables.features
        half_lives = settings.popularity_half_lives_hours
        made = {popularity_column(hours): np.log1p(self._popularity.counts(as_of, hours)) for hours in half_lives}
        made["trend"] = self._popularity.trend(as_of)
        made |= {f"trend_{name}": self._popularity.trend_of(name, as_of) for name in settings.item_categorical}
        if settings.first_takes:
            middle = half_lives[len(half_lives) // 2]
            made |= {first_takes_column(hours): self._novelty.log_rate(as_of, hours) for hours in half_lives}
            for name in settings.item_categorical:
                made[f"first_takes_{name}"] = self._novelty.log_rate(as_of, middle, name)
        made |= {name: self._tables.item_numeric[FIRST_VALUE:, i] for i, name in enumerate(settings.item_numeric)}
        return made
