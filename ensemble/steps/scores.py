"""Score arithmetic that several steps need: exact top-k and standardisation within a request."""

from __future__ import annotations

import numpy as np

#: One score in so many is looked at to find the threshold of a top-k.
_STRIDE = 16
#: Parts of the greatest score below which a score is as good as none.
_LEAST_PART = 0.005


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k best of each row, best first; of equals the smaller column, -1 where a row has no more.

    Args:
        scores: float ``[b, n]``; -inf is never taken.
        k: how many.

    Returns:
        int64 ``[b, k]``.

    Example:
        >>> top_k(np.array([[0.1, 0.9, -np.inf, 0.9]]), 3).tolist()
        [[1, 3, 0]]
    """
    found = np.full((len(scores), k), -1, np.int64)
    for row, out in zip(scores, found):
        likely = _likely(row, k)
        best = likely[np.argsort(-row[likely], kind="stable")[:k]]
        best = best[row[best] > -np.inf]
        out[: len(best)] = best
    return found


def _likely(row: np.ndarray, k: int) -> np.ndarray:
    """Columns among which the ``k`` best are for certain, by a threshold that a sample of the row suggests.

    Sorting what passes is some three times faster than a partition of the whole row; when too few pass, all do.
    """
    sample = row[::_STRIDE]
    wanted = 2 * k // _STRIDE + 8
    if wanted >= len(sample):
        return np.arange(len(row))
    passing = np.flatnonzero(row >= np.partition(sample, -wanted)[-wanted])
    return passing if len(passing) >= k else np.arange(len(row))


def standardised(scores: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Scores less their mean over their deviation, within each row; 0 where there is no score.

    Args:
        scores: float ``[b, m]``; what is not finite has no score.
        valid: bool ``[b, m]``.

    Returns:
        float32 ``[b, m]``.
    """
    known = valid & np.isfinite(scores)
    held = np.where(known, scores, 0.0).astype(np.float64)
    number = np.maximum(known.sum(axis=1, keepdims=True), 1)
    centred = np.where(known, held - held.sum(axis=1, keepdims=True) / number, 0.0)
    deviation = np.sqrt((centred**2).sum(axis=1, keepdims=True) / number)
    return (centred / np.maximum(deviation, 1e-9)).astype(np.float32)


def log_of_greatest(scores: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Log of each score over the greatest of its row, no less than that of ``_LEAST_PART``; 0 where none has a score.

    Products become sums that way: a score times a power of a trend is this plus a multiple of the trend's log.

    Args:
        scores: float ``[b, m]``; what is not finite has no score.
        valid: bool ``[b, m]``.

    Returns:
        float32 ``[b, m]``, 0 for the greatest.

    Example:
        >>> log_of_greatest(np.array([[0.5, 0.25, -1.0]]), np.ones((1, 3), bool)).round(3).tolist()
        [[0.0, -0.6930000185966492, -5.298999786376953]]
    """
    held = np.where(valid & np.isfinite(scores), scores, 0.0).astype(np.float64)
    greatest = held.max(axis=1, keepdims=True, initial=0.0)
    part = np.where(greatest > 0, held / np.maximum(greatest, 1e-30), 1.0)
    return np.log(np.maximum(part, _LEAST_PART)).astype(np.float32)
