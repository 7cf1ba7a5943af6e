"""Item-item collaborative filtering: EASE (Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019).

A closed form: with the Gram matrix ``G = X'X`` of users by items and ``P = (G + L)^-1``, the weight from item i to
item j is ``-P[i, j] / P[j, j]``. The paper's ``L`` is ``regularization I``; with a ``power`` p an item of n users has
``regularization (n / mean n)^p``, which is the paper's solution for columns scaled by ``n^(-p/2)``: what many took is
held back more. Cubic in the items or, where they are fewer, nearly so in the users.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg, sparse
from scipy.linalg import lapack

from contracts.errors import ArtifactError
from contracts.features import FIRST_VALUE

#: Rows of the weight matrix looked at in one go, when neighbours are picked.
_CHUNK = 1024


def neighbours(
    users: np.ndarray, items: np.ndarray, catalogue: int, regularization: float, power: float, number: int, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """The strongest links of EASE, positive or negative.

    Args:
        users: int ``[pairs]``, any numbering from 0.
        items: int ``[pairs]``, 0 is the first item of the catalogue; a pair twice counts once.
        catalogue: number of items.
        regularization: of EASE.
        power: by which it grows with an item's users; 0 is the paper's.
        number: links kept per item.
        most: items at most, those of most users (memory goes with the square); the others get no neighbours.

    Returns:
        Item codes int32 ``[catalogue, number]`` by falling strength, 0 where there is no link, and weights float32.
    """
    taken = np.bincount(items, minlength=catalogue)
    held = np.sort(np.argsort(-taken, kind="stable")[:most])
    place = np.full(catalogue, -1)
    place[held] = np.arange(len(held))
    known = place[items] >= 0
    weights = ease(users[known], place[items[known]], len(held), regularization, power)
    width = min(number, len(held))
    codes = np.zeros((catalogue, number), np.int32)
    strengths = np.zeros((catalogue, number), np.float32)
    for start in range(0, len(held), _CHUNK):
        part = weights[start : start + _CHUNK]
        best = np.argpartition(-np.abs(part), width - 1, axis=1)[:, :width]
        values = np.take_along_axis(part, best, axis=1)
        order = np.argsort(-np.abs(values), axis=1, kind="stable")
        values = np.take_along_axis(values, order, axis=1)
        best = np.take_along_axis(best, order, axis=1)
        rows = held[start : start + len(part)]
        codes[rows, :width] = np.where(values == 0.0, 0, held[best] + FIRST_VALUE)
        strengths[rows, :width] = values
    return codes, strengths


def ease(users: np.ndarray, items: np.ndarray, catalogue: int, regularization: float, power: float = 0.0) -> np.ndarray:
    """The whole weight matrix, float32 ``[catalogue, catalogue]``: row i holds what a user of item i gives to others.

    Raises:
        ArtifactError: when the Gram matrix cannot be inverted, which a positive regularization excludes.
    """
    shape = (int(users.max(initial=-1)) + 1, catalogue)
    matrix = sparse.csr_matrix((np.ones(len(users), np.float32), (users, items)), shape)
    matrix.data[:] = 1.0
    try:
        weights = _inverse(matrix, _penalties(matrix, regularization, power))
    except linalg.LinAlgError as error:
        raise ArtifactError(
            f"item-item: expected a positive definite matrix of {catalogue} items, LAPACK says: {error}; "
            f"raise train.item_item_regularization (now {regularization})"
        ) from None
    weights /= -np.diagonal(weights)[None, :]
    weights[np.diag_indices_from(weights)] = 0.0
    return weights


def _penalties(matrix: sparse.csr_matrix, regularization: float, power: float) -> np.ndarray:
    """The diagonal of ``L``, float32 ``[items]``; an item that nobody took counts as one that one user took."""
    taken = np.maximum(np.bincount(matrix.indices, minlength=matrix.shape[1]), 1)
    return (regularization * (taken / taken.mean()) ** power).astype(np.float32)


def _inverse(matrix: sparse.csr_matrix, penalties: np.ndarray) -> np.ndarray:
    """``(X'X + L)^-1`` for ``X`` ``[users, items]`` and the diagonal of ``L``, float32 ``[items, items]``."""
    users, items = matrix.shape
    if users >= items:
        gram = (matrix.T @ matrix).toarray()
        gram[np.diag_indices_from(gram)] += penalties
        factor = linalg.cholesky(gram, lower=True, overwrite_a=True)
        inverse, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
        inverse = np.tril(inverse)
        inverse += np.tril(inverse, -1).T
        return inverse
    # Woodbury: with fewer users than items, factor the smaller users' matrix (completejourney: a quarter of the time).
    gram = ((matrix @ sparse.diags(1.0 / penalties)) @ matrix.T).toarray()
    gram[np.diag_indices_from(gram)] += np.float32(1.0)
    factor = linalg.cholesky(gram, lower=True, overwrite_a=True)
    half = linalg.solve_triangular(factor, matrix.toarray(), lower=True, overwrite_b=True, check_finite=False)
    inverse = half.T @ half
    inverse /= -penalties[:, None]
    inverse /= penalties[None, :]
    inverse[np.diag_indices_from(inverse)] += 1.0 / penalties
    return inverse


def scores(seen: np.ndarray, codes: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """What users' seen items give to all items: what ``ensemble`` computes at serving, for the evaluation.

    Args:
        seen: bool ``[users, catalogue]``.
        codes: of ``neighbours``.
        strengths: of ``neighbours``.

    Returns:
        float32 ``[users, catalogue]``.
    """
    rows, places = np.nonzero(codes)
    links = sparse.csr_matrix(
        (strengths[rows, places], (rows, codes[rows, places] - FIRST_VALUE)), (len(codes), len(codes))
    )
    return (sparse.csr_matrix(seen.astype(np.float32)) @ links).toarray()
