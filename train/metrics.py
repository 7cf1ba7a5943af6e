"""How good a list is, by hand-checkable formulas, and how sure that is.

The protocol of every figure: full ranking, what the user had already seen is not recommended, relevant is what was new
to the user and taken from the cut on, the ideal list has min(k, relevant) hits, and a metric is the mean over requests
of users with history.
"""

from __future__ import annotations

import numpy as np

K = 10


def discounts(k: int) -> np.ndarray:
    """``1 / log2(place + 2)`` of places from 0, float64 ``[k]``."""
    return 1.0 / np.log2(np.arange(2, k + 2))


def ndcg(hits: np.ndarray, relevant: np.ndarray, k: int = K) -> np.ndarray:
    """Normalised discounted cumulative gain, float64 ``[requests]``.

    Args:
        hits: bool ``[requests, places]``, at least ``k`` places, whether the item there is relevant.
        relevant: int ``[requests]``, number of relevant items, at least 1.
        k: places that count.

    Example:
        >>> ndcg(np.array([[True, False, True]]), np.array([2]), k=3).round(4).tolist()
        [0.9197]
    """
    ideal = np.cumsum(discounts(k))[np.minimum(relevant, k) - 1]
    return (hits[:, :k] * discounts(k)).sum(axis=1) / ideal


def recall(hits: np.ndarray, relevant: np.ndarray, k: int = K) -> np.ndarray:
    """Share of the relevant items among the first ``k``, float64 ``[requests]``; arguments as of ``ndcg``."""
    return hits[:, :k].sum(axis=1) / relevant


def average_precision(hits: np.ndarray, relevant: np.ndarray, k: int = K) -> np.ndarray:
    """Mean over the hits of the precision up to them, of min(k, relevant) possible hits, float64 ``[requests]``."""
    first = hits[:, :k]
    precision = np.cumsum(first, axis=1) / np.arange(1, k + 1)
    return (precision * first).sum(axis=1) / np.minimum(relevant, k)


def reciprocal_rank(hits: np.ndarray, relevant: np.ndarray, k: int = K) -> np.ndarray:
    """One over the place of the first hit, 0 without one, float64 ``[requests]``; its mean is the MRR."""
    first = hits[:, :k]
    return np.where(first.any(axis=1), 1.0 / (first.argmax(axis=1) + 1), 0.0)


def hit_rate(hits: np.ndarray, relevant: np.ndarray, k: int = K) -> np.ndarray:
    """1 where any of the first ``k`` is a hit, float64 ``[requests]``."""
    return hits[:, :k].any(axis=1).astype(np.float64)


METRICS = {"ndcg": ndcg, "recall": recall, "map": average_precision, "mrr": reciprocal_rank, "hit_rate": hit_rate}


def best(scores: np.ndarray, excluded: np.ndarray, k: int = K) -> np.ndarray:
    """Places of the ``k`` best scores of each row, best first, of equals the smaller; -1 where a row has no more.

    Args:
        scores: float ``[requests, items]``.
        excluded: bool ``[requests, items]``, never taken.
        k: how many, at most ``items``.
    """
    masked = np.where(excluded, -np.inf, scores)
    least = np.partition(masked, masked.shape[1] - k, axis=1)[:, masked.shape[1] - k, None]
    reach = masked >= least
    tied = np.flatnonzero(reach.sum(axis=1) > k)
    above = masked[tied] > least[tied]
    level = reach[tied] & ~above
    level &= np.cumsum(level, axis=1, dtype=np.int32) <= k - above.sum(axis=1, keepdims=True)
    reach[tied] = above | level
    places = np.nonzero(reach)[1].reshape(-1, k)
    held = np.take_along_axis(masked, places, axis=1)
    order = np.argsort(-held, axis=1, kind="stable")
    places, held = (np.take_along_axis(array, order, axis=1) for array in (places, held))
    return np.where(held == -np.inf, -1, places)
