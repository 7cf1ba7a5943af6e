"""What people take right after or before an item (co-visitation), as of an instant, from closed buckets of time.

Like popularity (``ensemble/steps/popularity.py``) this is data, not model: it knows an item minutes after the first
person came to it from another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from contracts.buckets import bucket_ms
from contracts.features import FIRST_VALUE, covisit_column
from ensemble.steps.arrays import Query
from ensemble.steps.envelope import Envelope
from ensemble.steps.popularity import Popularity
from ensemble.steps.tables import Tables

#: Places among the recent items: the newest, and the three before it.
NEWEST, EARLIER = slice(0, 1), slice(1, 4)
#: Weight of popularity among what follows an item, in co-visits.
_PRIOR = 20.0
#: Below this a share says no more; it keeps the logarithm finite.
_LEAST_SHARE = 1e-5


class Covisits:
    """Decayed co-visits of items, both ways round."""

    def __init__(self, tables: Tables, popularity: Popularity):
        self._tables = tables
        self._popularity = popularity
        self._length = bucket_ms(tables.features)
        self._hours = tables.features.bucket_minutes / 60
        pairs = tables.covisits
        item = np.concatenate([pairs.item, pairs.following]) - FIRST_VALUE
        number = np.concatenate([pairs.number, pairs.number])
        order = np.lexsort((number, item))
        self._start = np.searchsorted(item[order], np.arange(tables.items + 1))
        self._number = number[order]
        self._other = (np.concatenate([pairs.following, pairs.item]) - FIRST_VALUE)[order]
        self._count = np.concatenate([pairs.count, pairs.count])[order]

    def counts(
        self, envelopes: Sequence[Envelope], query: Query, half_life_hours: float, places: slice = NEWEST
    ) -> np.ndarray:
        """Co-visits of some of each request's recent items, float64 ``[b, items]``; a loop over requests."""
        places_of = query.recent_items[:, places]
        return np.stack([self.of_items(x.as_of, codes, half_life_hours) for x, codes in zip(envelopes, places_of)])

    def of_items(self, as_of: int, codes: Iterable[int], half_life_hours: float) -> np.ndarray:
        """Co-visits of items (codes; pads count for nothing), float64 ``[items]``; a loop over the codes."""
        found = np.zeros(self._tables.items)
        now = as_of // self._length
        for code in codes:
            item = code - FIRST_VALUE
            if item >= 0:
                low, high = self._start[item : item + 2]
                high = low + np.searchsorted(self._number[low:high], now)
                weights = np.exp2(-(now - 1 - self._number[low:high]) * self._hours / half_life_hours)
                found += np.bincount(self._other[low:high], weights * self._count[low:high], len(found))
        return found

    def features(self, envelopes: Sequence[Envelope], query: Query, ids: np.ndarray) -> dict[str, np.ndarray]:
        """The ranker's columns of the candidates ``ids`` (item codes ``[b, m]``), float64 ``[b, m]`` each.

        The probability to be next by the newest item at every half-life and, at the longest, by the three before it;
        and how many co-visits that rests on.
        """
        half_lives = self._tables.features.covisit_half_lives_hours
        found: dict[str, np.ndarray] = {}
        for hours in half_lives:
            counts = self.counts(envelopes, query, hours)
            found[covisit_column(hours)] = self._log_share(counts, envelopes, ids)
            evidence = np.log1p(counts.sum(axis=1, keepdims=True))
            found["covisit_evidence"] = np.broadcast_to(evidence, ids.shape)
        for hours in half_lives[-1:]:
            earlier = self.counts(envelopes, query, hours, EARLIER)
            found["covisit_earlier"] = self._log_share(earlier, envelopes, ids)
        return found

    def _log_share(self, counts: np.ndarray, envelopes: Sequence[Envelope], ids: np.ndarray) -> np.ndarray:
        """Log of the probability that a candidate is next, float64 ``[b, m]``.

        Shares of the co-visits ``[b, items]``, smoothed by what is popular with a Dirichlet prior (Zhai and Lafferty,
        SIGIR 2001): of an item that nobody came from, popularity is all that is known.
        """
        at = np.maximum(ids - FIRST_VALUE, 0)
        hours = self._tables.serve.trending_half_life_hours
        popular = [self._popularity.counts(envelope.as_of, hours) for envelope in envelopes]
        prior = np.stack([vector[row] / max(vector.sum(), 1e-30) for vector, row in zip(popular, at)])
        total = counts.sum(axis=1, keepdims=True)
        share = (np.take_along_axis(counts, at, axis=1) + _PRIOR * prior) / (total + _PRIOR)
        return np.log(share + _LEAST_SHARE)
