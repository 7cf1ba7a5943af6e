"""What window C decides besides the calibration: weights of retrieval's signals, and retrieval's against the ranker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np

from contracts.blending import personal_score, retrieval_score
from train.metrics import K, discounts

#: Weights of a signal that are tried, against 1 of another.
SIGNAL_WEIGHTS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.5, 2.5)
#: Weights of retrieval that are tried; 0 leaves the ranker alone.
RETRIEVAL_WEIGHTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 40.0)
#: NDCG@10 below which a change of a signal's weight is none.
_LEAST_GAIN = 1e-5
#: What a place costs, so that of equal scores the first row is first; scores are float32, which is far coarser.
_TIE = 1e-10


class Requests(Protocol):
    """The candidates of many requests, flat (``train.ranking_rows.Candidates``)."""

    @property
    def request(self) -> np.ndarray:
        """Which request, from 0: int ``[candidates]``."""
        ...

    @property
    def label(self) -> np.ndarray:
        """More than 0 where it was taken: ``[candidates]``."""
        ...

    @property
    def relevant(self) -> np.ndarray:
        """Items taken, found by retrieval or not: int ``[requests]``."""
        ...


class Blend(NamedTuple):
    """What window C chooses.

    Attributes:
        signals: retrieval's weights by signal, their sum 1, those of 0 left out.
        retrieval_weight: of retrieval's score against the ranker's log probability.
        retrieval_ndcg: NDCG@10 of retrieval's order, of each fold by the weights best on the others, of all that were
            tried (where to look was found with all requests; which to take was not).
        ndcg: the same of the blend.
    """

    signals: dict[str, float]
    retrieval_weight: float
    retrieval_ndcg: float
    ndcg: float


def tune(probability: np.ndarray, signals: Mapping[str, np.ndarray], requests: Requests, fold: np.ndarray) -> Blend:
    """The weights that serve window C best, and what such a choice is worth on requests that did not make it.

    Args:
        probability: calibrated, of every candidate.
        signals: of every candidate, by name.
        requests: whose candidates they are.
        fold: int ``[requests]``.
    """
    search = _Search(signals, requests)
    lists, everyone = search.lists, np.ones(len(fold), bool)
    weights = search.climbed()
    weight, _ = _mixed(probability, search.scores(weights), lists, everyone)
    retrieval_ndcg, ndcg = (np.full(len(fold), np.nan) for _ in range(2))
    for number in np.unique(fold):
        held_out = fold == number
        if not np.isnan(lists.ideal[~held_out]).all():
            others = search.best_tried(~held_out)
            retrieval_ndcg[held_out] = search.ndcg(others)[held_out]
            _, by_weight = _mixed(probability, search.scores(others), lists, ~held_out)
            ndcg[held_out] = by_weight[held_out]
    return Blend(search.named(weights), weight, float(np.nanmean(retrieval_ndcg)), float(np.nanmean(ndcg)))


def _mixed(
    probability: np.ndarray, retrieval: np.ndarray, lists: Lists, chosen: np.ndarray
) -> tuple[float, np.ndarray]:
    """The smallest of ``RETRIEVAL_WEIGHTS`` within noise of the best by the chosen requests; NDCG@10 of all by it.

    Noise is the standard error of the requests' differences from the best (the rule of one standard error; Hastie,
    Tibshirani and Friedman, "The elements of statistical learning", 7.10).
    """
    each = np.stack([lists.ndcg(personal_score(probability, retrieval, weight)) for weight in RETRIEVAL_WEIGHTS])
    judged = each[:, chosen & ~np.isnan(lists.ideal)]
    lost = judged[judged.mean(axis=1).argmax()] - judged
    error = lost.std(axis=1) / np.sqrt(judged.shape[1])
    first = int(np.flatnonzero(lost.mean(axis=1) <= error)[0])
    return RETRIEVAL_WEIGHTS[first], each[first]


class _Search:
    """Coordinate ascent over ``SIGNAL_WEIGHTS`` from several starts, that remembers what it tried.

    Weights are tuples, by signal; twice the weights are the same order.
    """

    def __init__(self, signals: Mapping[str, np.ndarray], requests: Requests):
        # What says the same of all candidates of all requests is the trace of a source that is not there.
        self._signals = {name: held.astype(np.float64) for name, held in signals.items() if np.ptp(held) > 0}
        self.lists = Lists(requests)
        self._tried: dict[tuple[float, ...], np.ndarray] = {}

    def climbed(self) -> tuple[float, ...]:
        """The best weights that are found, from the two best of each signal alone and all alike."""
        number = len(self._signals)
        starts = [tuple(float(i == j) for j in range(number)) for i in range(number)] + [(1.0,) * number]
        starts.sort(key=self._mean, reverse=True)
        return max(map(self._climbed, starts[:2]), key=self._mean)

    def best_tried(self, chosen: np.ndarray) -> tuple[float, ...]:
        """Of all weights that were tried, the best by some requests; the first of equals."""
        return max(self._tried, key=lambda weights: float(np.nanmean(self._tried[weights][chosen])))

    def _climbed(self, weights: tuple[float, ...]) -> tuple[float, ...]:
        reached, before = self._mean(weights), -np.inf
        while reached > before:
            before = reached
            for place in range(len(weights)):
                tried = [(*weights[:place], weight, *weights[place + 1 :]) for weight in SIGNAL_WEIGHTS]
                found = max(filter(any, tried), key=self._mean)
                if self._mean(found) > reached + _LEAST_GAIN:
                    weights, reached = found, self._mean(found)
        return weights

    def _mean(self, weights: tuple[float, ...]) -> float:
        return float(np.nanmean(self.ndcg(weights)))

    def ndcg(self, weights: tuple[float, ...]) -> np.ndarray:
        """NDCG@10 of each request by these weights."""
        key = tuple(round(weight / sum(weights), 4) for weight in weights)
        if key not in self._tried:
            self._tried[key] = self.lists.ndcg(self.scores(key))
        return self._tried[key]

    def scores(self, weights: tuple[float, ...]) -> np.ndarray:
        """``retrieval_score`` of every candidate."""
        return retrieval_score(self._signals, self.named(weights))

    def named(self, weights: tuple[float, ...]) -> dict[str, float]:
        """The weights as ``blend.json`` has them: their sum is 1, and those of 0 are left out."""
        total = sum(weights)
        return {name: round(weight / total, 4) for name, weight in zip(self._signals, weights) if weight}


class Lists:
    """Requests as lists of equal width, so that many orders of their candidates are soon judged."""

    def __init__(self, requests: Requests):
        self._order = np.argsort(requests.request, kind="stable")
        self._row = requests.request[self._order]
        number = len(requests.relevant)
        starts = np.searchsorted(self._row, np.arange(number))
        self._place = np.arange(len(self._row)) - starts[self._row]
        self._shape = number, max(K, int(self._place.max(initial=0)) + 1)
        self._hits = np.zeros(self._shape, bool)
        self._hits[self._row, self._place] = requests.label[self._order] > 0
        #: Gain of the ideal list of each request, float64 ``[requests]``; NaN where nothing is relevant.
        self.ideal = np.r_[np.nan, np.cumsum(discounts(K))][np.minimum(requests.relevant, K)]

    def ndcg(self, scores: np.ndarray) -> np.ndarray:
        """NDCG@10 of each request by the order of ``scores`` (of equals the first row), NaN where nothing is relevant.

        Args:
            scores: float ``[candidates]``.

        Returns:
            float64 ``[requests]``.
        """
        held = np.full(self._shape, -np.inf)
        held[self._row, self._place] = scores[self._order] - _TIE * self._place
        first = np.argpartition(held, -K, axis=1)[:, -K:]
        order = np.argsort(-np.take_along_axis(held, first, axis=1), axis=1)
        hits = np.take_along_axis(self._hits, np.take_along_axis(first, order, axis=1), axis=1)
        return (hits * discounts(K)).sum(axis=1) / self.ideal


def mean_ndcg(scores: np.ndarray, requests: Requests) -> float:
    """Mean NDCG@10 over requests with something relevant, by the order of ``scores`` among the candidates."""
    return float(np.nanmean(ndcg(scores, requests)))


def ndcg(scores: np.ndarray, requests: Requests) -> np.ndarray:
    """NDCG@10 of each request by the order of ``scores``, float64 ``[requests]``; NaN where nothing is relevant."""
    return Lists(requests).ndcg(scores)
