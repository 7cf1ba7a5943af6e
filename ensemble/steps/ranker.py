"""Every candidate's features and its calibrated probability."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from contracts.blending import calibrated
from contracts.features import (
    FIRST_VALUE,
    MINUTES_PER_DAY,
    activity_column,
    count_column,
    first_takes_column,
    popularity_column,
    ranker_categorical,
    ranker_continuous,
)
from ensemble.steps.arrays import Candidates, Query
from ensemble.steps.covisits import Covisits
from ensemble.steps.envelope import Envelope
from ensemble.steps.graphs import Graph, ranker
from ensemble.steps.popularity import Popularity
from ensemble.steps.release import Release
from ensemble.steps.sources import signals
from ensemble.steps.tables import Tables

_MS_PER_MINUTE = 60_000
#: Below this share of the most in demand an item is not; it keeps the logarithm finite.
_LEAST_TRENDING = 1e-4


class RankerFeatures:
    """The ranker's inputs, in training and in serving: the one place where they are computed."""

    def __init__(self, tables: Tables, popularity: Popularity):
        self._tables = tables
        self._popularity = popularity
        self._covisits = Covisits(tables, popularity)
        #: The same of first takes, which are buckets like others.
        self._novelty = Popularity(dataclasses.replace(tables, buckets=tables.first_takes), popularity.lookups)

    def __call__(
        self, envelopes: Sequence[Envelope], query: Query, candidates: Candidates
    ) -> tuple[np.ndarray, np.ndarray]:
        """Features of ``b`` requests' ``m`` candidates; rows of padding are to be ignored.

        Returns:
            int64 ``[b, m, ranker_categorical]`` and float32 ``[b, m, ranker_continuous]``.
        """
        return self._categorical(query, candidates), self._continuous(envelopes, query, candidates)

    def _categorical(self, query: Query, candidates: Candidates) -> np.ndarray:
        ids = candidates.candidate_ids
        users = query.user_codes[:, None, 1:]
        items = [self._tables.item_codes[name][ids][..., None] for name in self._tables.features.item_categorical]
        users = np.broadcast_to(users, (*ids.shape, users.shape[-1]))
        features = np.concatenate([users, *items], axis=2)
        assert features.shape[2] == len(ranker_categorical(self._tables.features))
        return features

    def _continuous(self, envelopes: Sequence[Envelope], query: Query, candidates: Candidates) -> np.ndarray:
        ids = candidates.candidate_ids
        settings = self._tables.features
        evidence = np.log1p([envelope.evidence for envelope in envelopes])
        dwell_minutes = np.array([envelope.session_dwell_ms for envelope in envelopes]) / _MS_PER_MINUTE
        named = {
            **signals(envelopes, candidates, self._popularity),
            "evidence": np.broadcast_to(evidence[:, None], ids.shape),
            "session_dwell": np.broadcast_to(np.log1p(dwell_minutes)[:, None], ids.shape),
            **self._category_shares(query, ids),
            **{name: self._tables.item_numeric[:, i][ids] for i, name in enumerate(settings.item_numeric)},
        }
        for hours in settings.popularity_half_lives_hours:
            named[popularity_column(hours)] = np.log1p(
                self._popularity.at_candidates(
                    envelopes, ids, functools.partial(self._popularity.counts, half_life_hours=hours)
                )
            )
        named |= self._moment(envelopes, query, ids)
        if settings.first_takes:
            named |= self._first_takes(envelopes, ids)
        recent = query.recent_items, query.recent_weights
        seen = query.seen_items, (query.seen_items > 0).astype(np.float32)
        number = np.maximum(seen[1].sum(axis=1, keepdims=True), 1e-30)
        for name in settings.item_categorical:
            named[f"recent_share_{name}"] = self._value_shares(name, *recent, ids)
            named[f"seen_share_{name}"] = share = self._value_shares(name, *seen, ids)
            named[f"seen_count_{name}"] = np.log1p(share * number)
            named[f"trend_{name}"] = self._popularity.at_candidates(
                envelopes, ids, functools.partial(self._popularity.trend_of, name)
            )
        return np.stack([named[name] for name in ranker_continuous(settings)], axis=2, dtype=np.float32)

    def _first_takes(self, envelopes: Sequence[Envelope], ids: np.ndarray) -> dict[str, np.ndarray]:
        """Log rates of first takes: of the item by half-life, and of its value in each column over the middle one."""
        settings = self._tables.features
        half_lives = settings.popularity_half_lives_hours
        asked = {first_takes_column(hours): (hours, "") for hours in half_lives}
        middle = half_lives[len(half_lives) // 2]
        asked |= {f"first_takes_{name}": (middle, name) for name in settings.item_categorical}
        return {
            name: self._popularity.at_candidates(
                envelopes, ids, functools.partial(self._novelty.log_rate, half_life_hours=hours, column=column)
            )
            for name, (hours, column) in asked.items()
        }

    def _moment(self, envelopes: Sequence[Envelope], query: Query, ids: np.ndarray) -> dict[str, np.ndarray]:
        """What changes from minute to minute, where the data set's settings ask for it."""
        settings = self._tables.features
        named = self._covisits.features(envelopes, query, ids) if settings.covisit_half_lives_hours else {}
        if settings.live_items:
            named["item_age"] = np.log1p(self._popularity.at_candidates(envelopes, ids, self._popularity.age_hours))
        if settings.bucket_minutes < MINUTES_PER_DAY:
            index = np.maximum(ids - FIRST_VALUE, 0)
            trending = [self._popularity.trending(x.as_of, x.region)[row] for x, row in zip(envelopes, index)]
            named["trending"] = np.log(np.stack(trending) + _LEAST_TRENDING)
        return named

    def _category_shares(self, query: Query, ids: np.ndarray) -> dict[str, np.ndarray]:
        """By half-life: the candidate's category among the user's decayed counts (0 where all has decayed), and all."""
        hours = self._tables.features.count_half_lives_hours
        counts = query.category_shares.reshape(len(ids), len(hours), -1).astype(np.float64)
        total = counts.sum(axis=2, keepdims=True)
        shares = np.where(total > 1e-30, counts / np.maximum(total, 1e-30), 0.0)
        category = self._tables.item_category[ids]
        named = {
            count_column(half_life).replace("_counts_", "_share_"): np.take_along_axis(shares[:, i], category, axis=1)
            for i, half_life in enumerate(hours)
        }
        for i, half_life in enumerate(hours):
            named[activity_column(half_life)] = np.broadcast_to(np.log1p(total[:, i]), ids.shape)
        return named

    def _value_shares(self, column: str, items: np.ndarray, weights: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """How much of the weight of ``items`` has the candidate's value in a column, ``[b, m]``."""
        codes = self._tables.item_codes[column]
        width = len(self._tables.vocabularies[column]) + FIRST_VALUE
        offset = np.arange(len(items))[:, None] * width
        held = np.bincount((codes[items] + offset).ravel(), weights.ravel(), len(items) * width)
        total = weights.sum(axis=1, keepdims=True, dtype=np.float64)
        return held[codes[ids] + offset] / np.maximum(total, 1e-30)


class Ranker:
    """The ranker with its features and its calibration."""

    def __init__(self, features: RankerFeatures, release: Release, graph: Graph | None = None):
        self._features = features
        self._graph = graph or ranker(release)
        self._calibration = release.document["blend"]["calibration"]

    def __call__(self, envelopes: Sequence[Envelope], query: Query, candidates: Candidates) -> np.ndarray:
        """Calibrated probabilities, float32 ``[b, m]``; NaN where padded."""
        valid = candidates.candidate_ids > 0
        scores = np.full(valid.shape, np.nan, np.float32)
        if valid.any():
            categorical, continuous = self._features(envelopes, query, candidates)
            inputs = {"categorical": categorical[valid], "continuous": continuous[valid]}
            scores[valid] = calibrated(self._graph(inputs).ravel(), self._calibration)
        return scores
