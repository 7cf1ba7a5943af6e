"""How scores are put together: tuned by ``train/`` on window C, applied by ``ensemble/steps`` to every request.

Pure numpy over ``[..., candidates]``; everything is monotone in its inputs, so a better score is a better rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

#: Below this a calibrated probability says no more; it keeps the logarithm finite.
_LEAST_PROBABILITY = 1e-9

#: Beyond so many, a weight is less than float32 can add to 1.
_MOST_HALVINGS = 24

#: A calibration: ``logit``, rising strictly, and the ``log_odds`` that belong to each, two of them at least.
Knots = Mapping[str, Sequence[float]]


def recent_weights(ages_ms: np.ndarray, half_life_hours: float) -> np.ndarray:
    """Weights of recent items (the last axis) for the query tower, float32 of the shape of ``ages_ms``.

    The newest has 1, and every half-life that another is older halves its weight: only parts of the whole matter, and
    so a user who comes back after years is still known by what he did last. What weighs too little to be seen in a
    float32 sum beside the newest weighs nothing: denormal numbers are 0 to some runtimes and not to others.

    An event of the future (clocks differ) has age 0.

    Example:
        >>> recent_weights(np.array([3_600_000, 7_200_000]), 1.0).tolist()
        [1.0, 0.5]
    """
    ages = np.maximum(ages_ms, 0)
    halvings = (ages - ages.min(axis=-1, keepdims=True)) / (half_life_hours * 3_600_000)
    return np.where(halvings <= _MOST_HALVINGS, np.exp2(-halvings), 0.0).astype(np.float32)


def retrieval_score(signals: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
    """One score of what retrieval knows: the weighted sum of its signals.

    Args:
        signals: float ``[..., candidates]`` by the names of ``contracts.features.RETRIEVAL_SIGNALS``.
        weights: of ``blend.json``, for some of these names. An item-item score times a power of the trend is such a
            sum, of logs.

    Example:
        >>> retrieval_score({"a": np.array([1.0, 2.0]), "b": np.array([5.0, 0.0])}, {"a": 1.0, "b": 0.5}).tolist()
        [3.5, 2.0]
    """
    total = np.zeros(np.broadcast_shapes(*(held.shape for held in signals.values())))
    for name, weight in weights.items():
        total += weight * signals[name]
    return total


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


def personal_score(
    probability: np.ndarray, retrieval: np.ndarray, retrieval_weight: float, spread: float = 1.0
) -> np.ndarray:
    """Log of the calibrated probability, mixed with ``retrieval_score``; NaN probabilities leave retrieval alone.

    Args:
        probability: ``calibrated``; NaN where ranking was skipped.
        retrieval: ``retrieval_score`` of the same candidates.
        retrieval_weight: of ``blend.json``.
        spread: of ``blend.json``, more than 0: makes the sum the logarithm of a probability again, whatever the weight.
    """
    logged = spread * (np.log(np.maximum(probability, _LEAST_PROBABILITY)) + retrieval_weight * retrieval)
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
