"""Lists of unlike items: maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998) over the best candidates."""

from __future__ import annotations

import numpy as np

#: So many of the best candidates may come into a list; at least as many as are asked for.
POOL = 200
#: A vector that is shorter points nowhere.
LEAST_LENGTH = 1e-12


def spread_out(vectors: np.ndarray, k: int, diversity: float) -> np.ndarray:
    """An order of the first ``k`` in which each next item is good and unlike those before it.

    The next is the one with the greatest ``(1 - diversity) * relevance - diversity * s``, where s is its greatest
    similarity to what is listed; of equals the better. Relevance is the place, from 1 for the best down to 1/n for the
    last: scores of a blend fall off so fast that beyond the first few nothing but dissimilarity would count.

    Args:
        vectors: float32 ``[n, width]``, the best item first; similarity is the cosine.
        k: how many to list.
        diversity: from 0 (the order as it came) to 1 (the first, then the most unlike).

    Returns:
        int64 ``[min(k, n)]``, places; the first is 0.
    """
    number, rows = len(vectors), vectors.astype(np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), LEAST_LENGTH)
    relevance = 1 - np.arange(number) / max(number, 1)
    nearest = np.full(number, -np.inf)
    chosen: list[int] = []
    left = np.ones(number, bool)
    for _ in range(min(k, number)):
        gain = (1 - diversity) * relevance - diversity * nearest if chosen else relevance
        best = int(np.argmax(np.where(left, gain, -np.inf)))
        chosen.append(best)
        left[best] = False
        nearest = np.maximum(nearest, rows @ rows[best])
    return np.array(chosen, np.int64)
