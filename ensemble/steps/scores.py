"""Score arithmetic that several steps need: exact top-k and standardisation within a request."""

from __future__ import annotations

import numpy as np


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
    rows, columns = scores.shape
    width = min(k, columns)
    if width == 0:
        return np.full((rows, k), -1, np.int64)
    if width < columns:
        best = np.sort(np.argpartition(-scores, width - 1, axis=1)[:, :width], axis=1)
    else:
        best = np.broadcast_to(np.arange(columns), scores.shape)
    values = np.take_along_axis(scores, best, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    best = np.take_along_axis(best, order, axis=1)
    best = np.where(np.take_along_axis(values, order, axis=1) == -np.inf, -1, best)
    return np.pad(best, ((0, 0), (0, k - width)), constant_values=-1)


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
