"""What window C decides: the ranker's calibration, and its weight against retrieval."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from contracts.blending import personal_score
from train.metrics import K, discounts

#: Weights of retrieval that are tried; 0 leaves the ranker alone.
RETRIEVAL_WEIGHTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0)
_NEWTON_STEPS = 50


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


def platt(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Slope and offset of the logistic regression of labels on logits (Platt scaling), by Newton's method."""
    design = np.stack([logits, np.ones_like(logits)], axis=1).astype(np.float64)
    coefficients = np.array([1.0, 0.0])
    for _ in range(_NEWTON_STEPS):
        probability = 1.0 / (1.0 + np.exp(-np.clip(design @ coefficients, -30, 30)))
        gradient = design.T @ (labels - probability)
        curvature = (design * (probability * (1.0 - probability))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-8:
            break
    return float(coefficients[0]), float(coefficients[1])


def retrieval_weight(probability: np.ndarray, retrieval: np.ndarray, requests: Requests) -> tuple[float, float]:
    """The weight of ``RETRIEVAL_WEIGHTS`` that serves ``personal_score`` best, and its NDCG@10."""
    found = [
        (mean_ndcg(personal_score(probability, retrieval, weight), requests), -weight) for weight in RETRIEVAL_WEIGHTS
    ]
    score, weight = max(found)
    return -weight, score


def mean_ndcg(scores: np.ndarray, requests: Requests) -> float:
    """Mean NDCG@10 over requests with something relevant, by the order of ``scores`` among the candidates."""
    order = np.lexsort((-scores, requests.request))
    request = requests.request[order]
    place = np.arange(len(order)) - np.searchsorted(request, np.arange(len(requests.relevant)))[request]
    first = place < K
    gain = np.where(requests.label[order][first] > 0, discounts(K)[place[first]], 0.0)
    total = np.bincount(request[first], gain, len(requests.relevant))
    counted = requests.relevant > 0
    ideal = np.cumsum(discounts(K))[np.minimum(requests.relevant[counted], K) - 1]
    return float((total[counted] / ideal).mean())
