"""Users with similar histories, and what they took: what a release holds of them, and the scores that follow.

The same arithmetic serves (``ensemble/steps/sources.py``) and is a baseline (``train/baselines/neighbourhood.py``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Histories(NamedTuple):
    """Which items users have taken, sparse.

    Attributes:
        users: int64 ``[users]``, whose they are, in any numbering.
        starts: int64 ``[users + 1]``: the user at place u took ``items[starts[u]:starts[u + 1]]``.
        items: int32 ``[pairs]``, places in the catalogue, each once a user.
    """

    users: np.ndarray
    starts: np.ndarray
    items: np.ndarray


class Alike:
    """Finds the users most like one, and what they took."""

    def __init__(self, histories: Histories, catalogue: int):
        self._histories = histories
        self._catalogue = catalogue
        self._sizes = np.diff(histories.starts)
        self._takers = np.repeat(np.arange(len(self._sizes)), self._sizes)[np.argsort(histories.items, kind="stable")]
        taken = np.bincount(histories.items, minlength=catalogue)
        self._taken_starts = np.r_[0, np.cumsum(taken)]

    def scores(self, held: np.ndarray, own: int, number: int) -> np.ndarray:
        """What the most similar users took, by the sum of their similarities (cosine), float64 ``[catalogue]``.

        Herlocker et al., "An algorithmic framework for performing collaborative filtering", SIGIR 1999, for what is
        taken or not. No loop over users: only those are looked at that share an item.

        Args:
            held: int ``[n]``, places of distinct items, one at least.
            own: who asks, in the numbering of ``Histories.users``; he is none of those who are like him.
            number: of similar users that count; of equally similar ones the first.
        """
        shared = np.bincount(self._takers[_entries(self._taken_starts, held)], minlength=len(self._sizes))
        shared[self._histories.users == own] = 0
        near = np.flatnonzero(shared)
        similarity = shared[near] / np.sqrt(self._sizes[near] * float(len(held)))
        if len(near) > number:
            least = np.partition(similarity, -number)[-number]
            closer = similarity > least
            equal = np.flatnonzero(similarity == least)[: number - closer.sum()]
            best = np.union1d(np.flatnonzero(closer), equal)
            near, similarity = near[best], similarity[best]
        items = self._histories.items[_entries(self._histories.starts, near)]
        return np.bincount(items, np.repeat(similarity, self._sizes[near]), self._catalogue)


def _entries(starts: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Places of the entries of several rows of a sparse matrix, one row after the other, int64."""
    sizes = starts[rows + 1] - starts[rows]
    return np.repeat(starts[rows] - (np.cumsum(sizes) - sizes), sizes) + np.arange(sizes.sum())
