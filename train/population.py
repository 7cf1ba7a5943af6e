"""How sure a figure is: bootstrap over users (Efron, 1979), paired between lists.

Users are drawn, not requests: requests of one user are alike, and an interval over them would be too narrow.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np

_RESAMPLES = 2000
#: Most (population, user) pairs held at once, 320 MB of them; with more users fewer populations are drawn.
_MOST_PAIRS = 40_000_000
#: A mean without a single hit: ratios to it are then huge, not undefined.
_LEAST = 1e-12
#: The middle of the resampled figures that an interval spans.
LEVEL = 0.95


class Population:
    """Users with their requests, resampled: one draw of populations for all figures, so that they compare in pairs.

    Attributes:
        users: how many.
    """

    def __init__(self, user_ids: np.ndarray, seed: int):
        """``user_ids``: string ``[requests]``, whose request each is."""
        _, self._user = np.unique(user_ids, return_inverse=True)
        self.users = int(self._user.max()) + 1
        resamples = min(_RESAMPLES, max(200, _MOST_PAIRS // self.users))
        shares = np.full(self.users, 1.0 / self.users)
        self._drawn = np.random.default_rng(seed).multinomial(self.users, shares, size=resamples).astype(np.float64)

    def means(self, values: np.ndarray, chosen: np.ndarray | None = None) -> np.ndarray:
        """The mean over requests in each resampled population, float64 ``[resamples]``.

        Args:
            values: ``[requests]``.
            chosen: bool ``[requests]``, which of them count; all when None. NaN where a population has none of them.
        """
        counted = np.ones(len(self._user)) if chosen is None else chosen.astype(np.float64)
        sums = np.bincount(self._user, values * counted, self.users)
        numbers = self._drawn @ np.bincount(self._user, counted, self.users)
        return np.where(numbers > 0, (self._drawn @ sums) / np.maximum(numbers, 1), np.nan)

    def mean(self, values: np.ndarray, chosen: np.ndarray | None = None) -> dict[str, Any]:
        """``mean`` and ``interval`` of ``[requests]`` values."""
        held = values if chosen is None else values[chosen]
        return {"mean": float(held.mean()), "interval": interval(self.means(values, chosen))}

    def compared(self, ours: np.ndarray, theirs: np.ndarray, chosen: np.ndarray | None = None) -> dict[str, Any]:
        """Two lists' values of the same requests: ratio and difference of their means, and how sure they are.

        Returns:
            ``ratio`` and ``difference`` with ``…_interval``, and ``deviation``, the difference's standard error.
        """
        one, other = (self.means(values, chosen) for values in (ours, theirs))
        mine, base = (float((values if chosen is None else values[chosen]).mean()) for values in (ours, theirs))
        return {
            "ratio": mine / max(base, _LEAST),
            "ratio_interval": interval(one / np.maximum(other, _LEAST)),
            "difference": mine - base,
            "difference_interval": interval(one - other),
            "deviation": float(np.nanstd(one - other)),
        }


def interval(samples: np.ndarray) -> list[float]:
    """The middle 95 % of resampled figures: its two ends."""
    tail = (1 - LEVEL) / 2
    return [float(x) for x in np.nanquantile(samples, (tail, 1 - tail))]


def lost_beyond_chance(compared: dict[str, Any], looks: int = 1) -> bool:
    """Whether a difference lies below zero by more than chance explains.

    Args:
        compared: of ``Population.compared``.
        looks: how many comparisons are looked at together: of 40 slices of equal releases one would be "significant" at
            95 %, so each is held to a level that makes one false alarm among all as rare (Bonferroni).
    """
    reach = NormalDist().inv_cdf(1 - (1 - LEVEL) / 2 / looks)
    return compared["difference"] + reach * compared["deviation"] < 0
