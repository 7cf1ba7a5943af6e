"""What is listed at all, beside how well it hits: coverage, concentration and novelty of lists."""

from __future__ import annotations

import numpy as np

from contracts.features import FIRST_VALUE


def exposure(codes: np.ndarray, interactions: np.ndarray) -> dict[str, float]:
    """How the places of many lists spread over the catalogue.

    Args:
        codes: int ``[requests, places]``, item codes, 0 where a list is shorter.
        interactions: float ``[catalogue]``, what was known of each item's popularity when the lists were made.

    Returns:
        ``coverage``: the share of the catalogue that is listed at all; ``gini``: of the places an item gets, 0 when all
        get as many, towards 1 when few get all; ``novelty``: the mean over listed places of ``-log2(share of all
        interactions)`` in bits, an item without one counting as one (Zhou et al., PNAS 2010).

    Example:
        >>> exposure(np.array([[3, 4], [3, 4]]), np.array([2.0, 1.0, 1.0, 0.0]))
        {'coverage': 0.5, 'gini': 0.5, 'novelty': 1.5}
    """
    listed = codes[codes >= FIRST_VALUE] - FIRST_VALUE
    places = np.sort(np.bincount(listed, minlength=len(interactions)))
    rank = np.arange(1, len(places) + 1)
    total = max(places.sum(), 1)
    # Sorted rising, the mean absolute difference is a sum over ranks.
    gini = float(((2 * rank - len(places) - 1) * places).sum() / (len(places) * total))
    share = np.maximum(interactions, 1.0) / max(interactions.sum(), 1.0)
    novelty = float(-np.log2(share[listed]).mean()) if len(listed) else 0.0
    return {"coverage": float((places > 0).mean()), "gini": gini, "novelty": novelty}
