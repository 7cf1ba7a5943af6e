"""Matrix factorisation of who took what: ALS, as a source of candidates and as a baseline.

Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008, as ``implicit`` fits it.
With all that was taken weighed like all that was not (alpha 1), a user's vector is linear in what he took: with the
items' factors ``Y`` ``[items, factors]`` and ``M = (Y'Y + regularization I)^-1`` his scores are ``x Y M Y'``. With
``M = LL'`` that is ``x Z Z'`` for ``Z = YL``: a user, known or not, is the sum of his items' rows of one matrix.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

_ITERATIONS = 15


def item_factors(interactions: sparse.csr_matrix, factors: int, regularization: float, seed: int) -> np.ndarray:
    """``Z`` of the above, float32 ``[items, factors]``; arguments as of ``fit``."""
    return folded(fit(interactions, factors, regularization, seed).item_factors, regularization)


def fit(interactions: sparse.csr_matrix, factors: int, regularization: float, seed: int) -> Any:
    """The library's model.

    Args:
        interactions: ``[users, items]``, 1 where a user took an item.
        factors: how many.
        regularization: of the factors; more than 0.
        seed: of the factors that it starts from.
    """
    import threadpoolctl
    from implicit.als import AlternatingLeastSquares

    # implicit has threads of its own, which those of BLAS would only hinder.
    with threadpoolctl.threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=factors, regularization=regularization, alpha=1.0, iterations=_ITERATIONS, random_state=seed
        )
        model.fit(interactions, show_progress=False)
    return model


def folded(items: np.ndarray, regularization: float) -> np.ndarray:
    """``Z`` of the items' factors ``Y`` ``[items, factors]``."""
    factors = items.astype(np.float64)
    inverse = np.linalg.inv(factors.T @ factors + regularization * np.eye(factors.shape[1]))
    return (factors @ np.linalg.cholesky(inverse)).astype(np.float32)
