"""What window C decides besides the calibration: the weight of retrieval against the ranker."""

from __future__ import annotations

import itertools
from typing import Protocol

import numpy as np

from contracts.blending import RetrievalWeights, personal_score, retrieval_score
from train.metrics import K, discounts

#: Weights of item-item and of the trend that are tried (``contracts.blending.RetrievalWeights``).
SIMILAR_WEIGHTS = (0.0, 0.3, 0.5, 0.7, 0.85, 1.0)
TREND_WEIGHTS = (0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9)
#: Weights of retrieval that are tried; 0 leaves the ranker alone.
RETRIEVAL_WEIGHTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0)


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


def retrieval_weight(
    probability: np.ndarray, retrieval: np.ndarray, requests: Requests, fold: np.ndarray
) -> tuple[float, float]:
    """The weight of ``RETRIEVAL_WEIGHTS`` that serves ``personal_score`` best, and what such a choice is worth.

    Args:
        probability: of every candidate.
        retrieval: ``contracts.blending.retrieval_score`` of every candidate.
        requests: whose candidates they are.
        fold: int ``[requests]``.

    Returns:
        The smallest of the best weights by all requests, and NDCG@10 of each fold's by the weight best on the others.
    """
    scored = (personal_score(probability, retrieval, weight) for weight in RETRIEVAL_WEIGHTS)
    each = np.stack([ndcg(scores, requests) for scores in scored])
    judged = np.full(each.shape[1], np.nan)
    for number in np.unique(fold):
        others = each[:, fold != number]
        if not np.isnan(others).all():
            judged[fold == number] = each[np.nanmean(others, axis=1).argmax(), fold == number]
    return RETRIEVAL_WEIGHTS[int(np.nanmean(each, axis=1).argmax())], float(np.nanmean(judged))


def retrieval_weights(
    two_tower: np.ndarray, similar: np.ndarray, trend: np.ndarray, requests: Requests
) -> tuple[RetrievalWeights, np.ndarray]:
    """The weights by which retrieval alone serves window C best, and its scores by them."""
    tried = [RetrievalWeights(*pair) for pair in itertools.product(SIMILAR_WEIGHTS, TREND_WEIGHTS)]
    found = [mean_ndcg(retrieval_score(two_tower, similar, trend, weights), requests) for weights in tried]
    best = tried[int(np.argmax(found))]
    return best, retrieval_score(two_tower, similar, trend, best)


def mean_ndcg(scores: np.ndarray, requests: Requests) -> float:
    """Mean NDCG@10 over requests with something relevant, by the order of ``scores`` among the candidates."""
    return float(np.nanmean(ndcg(scores, requests)))


def ndcg(scores: np.ndarray, requests: Requests) -> np.ndarray:
    """NDCG@10 of each request by the order of ``scores``, float64 ``[requests]``; NaN where nothing is relevant."""
    order = np.lexsort((-scores, requests.request))
    request = requests.request[order]
    place = np.arange(len(order)) - np.searchsorted(request, np.arange(len(requests.relevant)))[request]
    first = place < K
    gain = np.where(requests.label[order][first] > 0, discounts(K)[place[first]], 0.0)
    total = np.bincount(request[first], gain, len(requests.relevant))
    ideal = np.r_[np.nan, np.cumsum(discounts(K))][np.minimum(requests.relevant, K)]
    return total / ideal
