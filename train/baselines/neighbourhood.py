"""Neighbours of items and of users, and EASE, which learns how much each neighbour says."""

from __future__ import annotations

import io

import fsspec
import numpy as np
from scipy import sparse

from contracts.artifacts import Zones, resident
from contracts.user_user import Alike, Histories
from train import item_item
from train.baselines.task import Scores, Task


def item_knn_cosine(task: Task, neighbours: int) -> Scores:
    """Sarwar et al., "Item-based collaborative filtering recommendation algorithms", WWW 2001."""
    from implicit.nearest_neighbours import normalize

    return _linked(task, normalize(task.interactions.T), neighbours)


def item_knn_bm25(task: Task, neighbours: int, b: float) -> Scores:
    """The same with users weighted as Okapi BM25 weights words, items being the documents (``implicit``).

    ``b`` is how much an item's own popularity tells against it; as a user takes an item once, k1 hardly matters.
    """
    from implicit.nearest_neighbours import bm25_weight

    return _linked(task, bm25_weight(task.interactions.T, 1.2, b), neighbours)


def ease(task: Task, regularization: float) -> Scores:
    """Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019: every link, not the strongest alone.

    Items beyond the ``dense_items`` of most users are not listed.
    """
    items = task.interactions.shape[1]
    held = np.sort(np.argsort(-np.diff(task.interactions.tocsc().indptr), kind="stable")[: task.dense_items])
    users, places = task.interactions[:, held].nonzero()
    weights = item_item.ease(users, places, len(held), regularization)
    histories = task.histories[:, held]

    def scores(rows: np.ndarray) -> np.ndarray:
        found = np.full((len(rows), items), -np.inf, np.float32)
        found[:, held] = histories[rows] @ weights
        return found

    return scores


def released(task: Task, zones: Zones) -> Scores:
    """EASE as the release holds it: the strongest links of ``item_item.npz`` of the retrieval that serves."""
    with fsspec.open(f"{resident(zones)}/item_item.npz", "rb") as file:
        table = np.load(io.BytesIO(file.read()), allow_pickle=False)
    return lambda rows: item_item.scores(task.histories[rows].toarray(), table["neighbours"], table["weights"])


def user_knn(task: Task, neighbours: int) -> Scores:
    """What the users with the most similar histories took, as a release has it; the asking user is none of them."""
    taken, histories = task.interactions, task.histories
    numbered = np.arange(taken.shape[0])
    alike = Alike(Histories(numbered, taken.indptr.astype(np.int64), taken.indices), taken.shape[1])

    def scores(rows: np.ndarray) -> np.ndarray:
        held = (histories.indices[histories.indptr[row] : histories.indptr[row + 1]] for row in rows)
        return np.stack([alike.scores(items, own, int(neighbours)) for items, own in zip(held, task.users[rows])])

    return scores


def _linked(task: Task, weights: sparse.spmatrix, neighbours: int) -> Scores:
    """What each item of the history gives to its nearest ones: the product of their ``weights`` ``[items, users]``."""
    from implicit.nearest_neighbours import all_pairs_knn

    similarity = all_pairs_knn(weights.T.tocsr(), neighbours, show_progress=False).tocsr()
    return lambda rows: (task.histories[rows] @ similarity).toarray()
