"""How scores are put together: tuned by ``train/`` on window C, applied by ``ensemble/steps`` to every request.

Pure numpy over ``[..., candidates]``; everything is monotone in its inputs, so a better score is a better rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

#: Below this a calibrated probability says no more; it keeps the logarithm finite.
_LEAST_PROBABILITY = 1e-9

#: A calibration: ``logit``, rising strictly, and the ``log_odds`` that belong to each, two of them at least.
Knots = Mapping[str, Sequence[float]]


def recent_weights(ages_ms: np.ndarray, half_life_hours: float) -> np.ndarray:
    """Weights of recent items for the query tower, float32 of the shape of ``ages_ms``: halved every half-life.

    An event of the future (clocks differ) has age 0.

    Example:
        >>> recent_weights(np.array([0, 3_600_000]), 1.0).tolist()
        [1.0, 0.5]
    """
    return np.exp2(-np.maximum(ages_ms, 0) / (half_life_hours * 3_600_000)).astype(np.float32)


class RetrievalWeights(NamedTuple):
    """What retrieval is worth without a ranker.

    Attributes:
        similar: from 0 (two-tower alone) to 1 (item-item alone).
        trend: of the trend; an item-item score times the trend's power is a sum of logs.
    """

    similar: float
    trend: float


def retrieval_score(
    two_tower: np.ndarray, similar: np.ndarray, trend: np.ndarray | float, weights: RetrievalWeights
) -> np.ndarray:
    """One score of what retrieval knows, the ranker's inputs of these names.

    Args:
        two_tower: ``two_tower_score``, standardised.
        similar: ``similar_log``, the log of a score as a part of the request's greatest.
        trend: ``trend``, log of the demand of late against that of long.
        weights: of ``blend.json``.
    """
    return (1.0 - weights.similar) * two_tower + weights.similar * similar + weights.trend * trend


def calibrated(logits: np.ndarray, knots: Knots) -> np.ndarray:
    """Probabilities of the ranker's logits, float64 of their shape.

    Log-odds run straight from knot to knot, and beyond the outermost as between the last two: Platt's line is two
    knots, an isotonic curve has more. Where the knots rise, no two logits become equal.

    Example:
        >>> calibrated(np.array([-1.0, 1.0, 3.0]), {"logit": [0.0, 2.0], "log_odds": [-1.0, 1.0]}).round(3).tolist()
        [0.119, 0.5, 0.881]
    """
    at, odds = np.asarray(knots["logit"], np.float64), np.asarray(knots["log_odds"], np.float64)
    piece = np.clip(np.searchsorted(at, logits), 1, len(at) - 1)
    slope = np.diff(odds) / np.diff(at)
    return np.exp(-np.logaddexp(0.0, -(odds[piece - 1] + slope[piece - 1] * (logits - at[piece - 1]))))


def personal_score(probability: np.ndarray, retrieval: np.ndarray, retrieval_weight: float) -> np.ndarray:
    """Log of the calibrated probability, mixed with ``retrieval_score``; NaN probabilities leave retrieval alone.

    Args:
        probability: ``calibrated``; NaN where ranking was skipped.
        retrieval: ``retrieval_score`` of the same candidates.
        retrieval_weight: of ``blend.json``.
    """
    logged = np.log(np.maximum(probability, _LEAST_PROBABILITY)) + retrieval_weight * retrieval
    return np.where(np.isnan(probability), retrieval, logged)


class Evidence(NamedTuple):
    """How many interactions of a user it takes until something weighs one half; 0: it always weighs all.

    Attributes:
        personal: the personal part, against trending.
        ranker: the ranker within it, against the two-tower. Where the ranker has learned from people of whom much is
            known, little evidence lies outside what it has seen; the two-tower has seen all beginnings.
    """

    personal: float
    ranker: float


def by_evidence(
    logged: np.ndarray, two_tower: np.ndarray, trending: np.ndarray, evidence: np.ndarray, halves: Evidence
) -> tuple[np.ndarray, np.ndarray]:
    """The personal and the common part of the final score, each from 0 to 1; their sum is what ranks.

    Args:
        logged: ``personal_score`` ``[b, m]``; -inf where padded.
        two_tower: the standardised scores ``[b, m]``.
        trending: from 0 to 1 ``[b, m]``.
        evidence: the user's interactions ever, ``[b, 1]``.
        halves: of ``blend.json``.
    """
    held = np.where(np.isfinite(logged), logged, 0.0)
    ranker = _trust(evidence, halves.ranker)
    mixed = np.where(np.isfinite(logged), ranker * held + (1 - ranker) * two_tower, -np.inf)
    greatest = mixed.max(axis=1, keepdims=True, initial=-np.inf)
    personal = _trust(evidence, halves.personal)
    return personal * np.exp(mixed - np.where(np.isfinite(greatest), greatest, 0.0)), (1 - personal) * trending


def _trust(evidence: np.ndarray, half: float) -> np.ndarray:
    """A weight from 0 to 1 that grows with evidence and is one half at ``half``; 1 throughout where that is 0.

    Of squares (Hill, 1910, of molecules that bind in pairs): small for the first few, nearly all for who is known well.
    """
    square = evidence.astype(np.float64) ** 2
    return square / (square + half**2) if half else np.ones(evidence.shape)
