"""From logits to probabilities that come true: Platt's line or an isotonic curve, whichever foretells better.

Both are knots of ``contracts.blending.calibrated``, rising strictly, so that calibration never changes an order. Every
figure is cross-fitted: a candidate is judged by a calibration that was fitted on other requests.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

from contracts.blending import Knots, calibrated

_FOLDS = 5
_NEWTON_STEPS = 50
#: Pieces of the isotonic curve before pooling, and the fewest hits of one: with fewer, it would follow chance.
_PIECES, _LEAST_HITS = 24, 20
#: Bins of the reliability curve, each of as many expected hits: candidates that are taken are few.
_BINS = 10


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A fitted calibration.

    Attributes:
        knots: fitted on all candidates, to serve.
        document: ``models/ranker/calibration.json``.
    """

    knots: Knots
    document: dict[str, Any]


def platt(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Slope and offset of the logistic regression of labels on logits, by Newton's method (Platt, 1999).

    It starts where every candidate has the same probability and halves a step that overshoots: a ranker that learned
    lists may have its logits anywhere, and from a start far off full steps diverge.
    """
    design = np.stack([logits, np.ones_like(logits)], axis=1).astype(np.float64)
    share = (labels.sum() + 0.5) / (len(labels) + 1.0)
    coefficients = np.array([0.0, np.log(share / (1.0 - share))])
    loss = _entropy(design @ coefficients, labels)
    for _ in range(_NEWTON_STEPS):
        probability = np.exp(-np.logaddexp(0.0, -(design @ coefficients)))
        curvature = (design * (probability * (1.0 - probability))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, design.T @ (labels - probability))
        while (new := _entropy(design @ (coefficients + step), labels)) > loss and np.abs(step).max() > 1e-8:
            step = step / 2
        coefficients, loss = coefficients + step, new
        if np.abs(step).max() < 1e-8:
            break
    return float(coefficients[0]), float(coefficients[1])


def _entropy(log_odds: np.ndarray, labels: np.ndarray) -> float:
    """The sum of the candidates' cross-entropy."""
    return float((np.logaddexp(0.0, log_odds) - labels * log_odds).sum())


def platt_knots(logits: np.ndarray, labels: np.ndarray) -> Knots:
    """Platt's line."""
    slope, offset = platt(logits, labels)
    return {"logit": [0.0, 1.0], "log_odds": [offset, slope + offset]}


def isotonic_knots(logits: np.ndarray, labels: np.ndarray) -> Knots:
    """The isotonic regression (Zadrozny and Elkan, 2002) of pieces with equally many hits, joined by straight lines.

    A knot lies between the mean logit of a pooled piece and that of its hits: there an exponential curve has the
    piece's mean, to second order. Beyond the outermost the curve goes on with Platt's slope. Without hits for two
    pieces it is Platt's line.
    """
    order = np.argsort(logits, kind="stable")
    logit, label = logits[order].astype(np.float64), labels[order].astype(np.float64)
    pieces = min(_PIECES, int(label.sum()) // _LEAST_HITS)
    if pieces < 2:
        return platt_knots(logits, labels)
    # A hit is the last of its piece.
    before = np.cumsum(label) - label
    piece = np.minimum(before * pieces // label.sum(), pieces - 1).astype(int)
    count, hits = np.bincount(piece, minlength=pieces), np.bincount(piece, label, pieces)
    found = isotonic_regression((hits + 0.5) / (count + 1.0), weights=count)
    block = np.repeat(np.arange(len(found.blocks) - 1), np.diff(found.blocks))[piece]
    x = (
        np.bincount(block, logit) / np.bincount(block) + np.bincount(block, logit * label) / np.bincount(block, label)
    ) / 2
    share = found.x[found.blocks[:-1]]
    y = np.log(share / (1.0 - share))
    slope = platt(logits, labels)[0]
    apart = np.r_[True, np.diff(x) > 0]  # where logits are tied, two pieces may lie at one
    x, y = x[apart], y[apart]
    x, y = np.r_[x[0] - 1.0, x, x[-1] + 1.0], np.r_[y[0] - slope, y, y[-1] + slope]
    return {"logit": x.tolist(), "log_odds": y.tolist()}


METHODS: dict[str, Callable[[np.ndarray, np.ndarray], Knots]] = {"platt": platt_knots, "isotonic": isotonic_knots}


def calibrate(logits: np.ndarray, labels: np.ndarray, request: np.ndarray, seed: int) -> Calibration:
    """The method with the least cross-fitted log-loss, fitted on everything, and how reliable it is.

    Args:
        logits: float ``[n]``; a greater one must be likelier (``platt``'s slope is more than 0).
        labels: float ``[n]``, 1 where taken.
        request: int ``[n]``, whose candidates are never parted.
        seed: of the folds.
    """
    fold = folds(int(request.max()) + 1, seed)[request]
    found = {name: _cross_fitted(method, logits, labels, fold) for name, method in METHODS.items()}
    losses = {name: log_loss(probability, labels) for name, probability in found.items()}
    method = min(losses, key=losses.__getitem__)
    raw = 1.0 / (1.0 + np.exp(-logits.astype(np.float64)))
    document = {
        "method": method,
        "ece": expected_error(curve(found[method], labels)),
        "ece_uncalibrated": expected_error(curve(raw, labels)),
        "log_loss": {**losses, "uncalibrated": log_loss(raw, labels)},
        "curve": curve(found[method], labels),
        "curve_uncalibrated": curve(raw, labels),
    }
    return Calibration(METHODS[method](logits, labels), document)


def folds(requests: int, seed: int) -> np.ndarray:
    """A fold of ``_FOLDS`` for every request, int64 ``[requests]``, of equal size within one."""
    return np.random.default_rng(seed).permutation(requests) % _FOLDS


def curve(probability: np.ndarray, labels: np.ndarray) -> list[dict[str, float]]:
    """The reliability curve: mean prediction, share that was taken, and count, of bins with equally many expected."""
    order = np.argsort(probability, kind="stable")
    held, label = probability[order].astype(np.float64), labels[order]
    expected = np.cumsum(held)
    place = np.minimum((expected - held / 2) / expected[-1] * _BINS, _BINS - 1).astype(int)
    count = np.bincount(place, minlength=_BINS)
    sums = np.bincount(place, held, _BINS), np.bincount(place, label, _BINS)
    filled = np.flatnonzero(count)
    return [
        {"predicted": float(sums[0][b] / count[b]), "observed": float(sums[1][b] / count[b]), "count": int(count[b])}
        for b in filled
    ]


def expected_error(bins: list[dict[str, float]]) -> float:
    """Expected calibration error: the distance of prediction and observation, a mean over candidates (Guo, 2017)."""
    distance = sum(abs(each["predicted"] - each["observed"]) * each["count"] for each in bins)
    return distance / sum(each["count"] for each in bins)


def log_loss(probability: np.ndarray, labels: np.ndarray) -> float:
    """Mean cross-entropy."""
    held = np.clip(probability, 1e-12, 1.0 - 1e-12)
    return float(-np.mean(labels * np.log(held) + (1.0 - labels) * np.log1p(-held)))


def _cross_fitted(
    method: Callable[[np.ndarray, np.ndarray], Knots], logits: np.ndarray, labels: np.ndarray, fold: np.ndarray
) -> np.ndarray:
    """Probabilities of each fold by what was fitted on the others, float64 ``[n]``."""
    found = np.empty(len(logits))
    for number in np.unique(fold):
        own = fold == number
        # With one request there are no others.
        others = ~own if (~own).any() else own
        found[own] = calibrated(logits[own], method(logits[others], labels[others]))
    return found
