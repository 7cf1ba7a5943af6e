"""Item-item collaborative filtering: EASE (Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019).

A closed form: with the Gram matrix ``G = X'X`` of users by items and ``P = (G + regularization I)^-1``, the weight from
item i to item j is ``-P[i, j] / P[j, j]``. Some 25 s for 12,500 items on two cores; cubic in the items.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.linalg import lapack

from contracts.errors import ArtifactError
from contracts.features import FIRST_VALUE

#: Above this many items (4 bytes each squared: 1.6 GB) the rarer ones, the last of the catalogue, get no neighbours.
MOST_ITEMS = 20_000
#: Rows of the weight matrix looked at in one go, when neighbours are picked.
_CHUNK = 1024


def neighbours(
    users: np.ndarray, items: np.ndarray, catalogue: int, regularization: float, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """The strongest links of EASE, positive or negative.

    Args:
        users: int ``[pairs]``, any numbering from 0.
        items: int ``[pairs]``, 0 is the first item of the catalogue; a pair twice counts once.
        catalogue: number of items.
        regularization: of EASE.
        number: links kept per item.

    Returns:
        Item codes int32 ``[catalogue, number]`` by falling strength, 0 where there is no link, and weights float32.
    """
    held = min(catalogue, MOST_ITEMS)
    known = items < held
    weights = ease(users[known], items[known], held, regularization)
    width = min(number, held)
    codes = np.zeros((catalogue, number), np.int32)
    strengths = np.zeros((catalogue, number), np.float32)
    for start in range(0, held, _CHUNK):
        part = weights[start : start + _CHUNK]
        best = np.argpartition(-np.abs(part), width - 1, axis=1)[:, :width]
        values = np.take_along_axis(part, best, axis=1)
        order = np.argsort(-np.abs(values), axis=1, kind="stable")
        values = np.take_along_axis(values, order, axis=1)
        best = np.take_along_axis(best, order, axis=1)
        codes[start : start + len(part), :width] = np.where(values == 0.0, 0, best + FIRST_VALUE)
        strengths[start : start + len(part), :width] = values
    return codes, strengths


def ease(users: np.ndarray, items: np.ndarray, catalogue: int, regularization: float) -> np.ndarray:
    """The whole weight matrix, float32 ``[catalogue, catalogue]``: row i holds what a user of item i gives to others.

    Raises:
        ArtifactError: when the Gram matrix cannot be inverted, which a positive regularization excludes.
    """
    shape = (int(users.max(initial=-1)) + 1, catalogue)
    matrix = sparse.csr_matrix((np.ones(len(users), np.float32), (users, items)), shape)
    matrix.data[:] = 1.0
    gram = (matrix.T @ matrix).toarray()
    gram[np.diag_indices_from(gram)] += np.float32(regularization)
    # Symmetric positive definite, so Cholesky in place: a third of the time of a general inverse and no second copy.
    # Fortran order through the transpose, which is the same matrix.
    factor, failed = lapack.spotrf(gram.T, lower=1, overwrite_a=1, clean=0)
    if not failed:
        inverse, failed = lapack.spotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise ArtifactError(
            f"item-item: expected a positive definite matrix of {catalogue} items, LAPACK says {failed}; "
            f"raise train.item_item_regularization (now {regularization})"
        )
    inverse = np.tril(inverse)
    inverse += np.tril(inverse, -1).T
    weights = inverse / -np.diagonal(inverse)[None, :]
    weights[np.diag_indices_from(weights)] = 0.0
    return weights


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
