"""What scores the whole catalogue for a user, and the signals that candidates' scores become."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from contracts.features import FIRST_VALUE, RETRIEVAL_SIGNALS, SOURCES
from contracts.user_user import Alike, Histories
from ensemble.steps.arrays import Candidates, Query
from ensemble.steps.envelope import Envelope
from ensemble.steps.popularity import Popularity
from ensemble.steps.release import Release
from ensemble.steps.scores import log_of_greatest, standardised
from ensemble.steps.sessions import session
from ensemble.steps.tables import Tables

QUERY_TOWER = "retrieval/1/query_tower.onnx"
ITEM_EMBEDDINGS = "retrieval/1/item_embeddings.npy"
ITEM_ITEM = "retrieval/1/item_item.npz"
#: These two a release need not have.
ALS = "retrieval/1/als.npy"
USER_USER = "retrieval/1/user_user.npz"


class Sources:
    """``contracts.features.SOURCES`` of a release; columns of what they give are items, column i = code i + 3."""

    def __init__(self, tables: Tables, release: Release):
        self._items = tables.items
        self._neighbours_alike = tables.serve.user_user_neighbours
        self._tower = session(release.read(QUERY_TOWER))
        self._embeddings = release.array(ITEM_EMBEDDINGS)
        table = release.arrays(ITEM_ITEM)
        # Of the types bincount works with, padding moved to a bin of its own: half the time per request.
        codes = table["neighbours"].astype(np.int64)
        self._neighbours = np.where(codes >= FIRST_VALUE, codes - FIRST_VALUE, tables.items)
        self._weights = table["weights"].astype(np.float64)
        files = release.document["files"]
        self._factors = release.array(ALS) if ALS in files else None
        self._alike = Alike(Histories(**release.arrays(USER_USER)), tables.items) if USER_USER in files else None

    def __call__(self, query: Query, seen: np.ndarray) -> dict[str, np.ndarray]:
        """By source, its scores float ``[b, items]``; -inf where it knows nobody.

        Args:
            query: what is known of the users.
            seen: bool ``[b, items]``, what each has taken.
        """
        found = self.two_tower(query), self.similar(seen), self.als(seen), self.user_user(query, seen)
        return dict(zip(SOURCES, found))

    def two_tower(self, query: Query) -> np.ndarray:
        """Cosines of query and items, float32 ``[b, items]``."""
        inputs = {name: getattr(query, name) for name in ("user_codes", "recent_items", "recent_weights")}
        (embedding,) = self._tower.run(["query_embedding"], inputs)
        return embedding @ self._embeddings.T

    def similar(self, seen: np.ndarray) -> np.ndarray:
        """Item-item scores ``[b, items]``: the sum of the weights by which seen items name an item.

        -inf everywhere for a user without a seen item. A loop over users; each flows from all seen items at once.
        """
        scores = np.full((len(seen), self._items + 1), -np.inf)
        for i, mask in enumerate(seen):
            held = np.flatnonzero(mask)
            if len(held):
                neighbours, weights = self._neighbours[held].ravel(), self._weights[held].ravel()
                scores[i] = np.bincount(neighbours, weights, self._items + 1)
        return scores[:, :-1]

    def als(self, seen: np.ndarray) -> np.ndarray:
        """Matrix factorisation, float32 ``[b, items]``: a user is the sum of his items' factors (``train/als.py``).

        -inf everywhere for a user without a seen item.
        """
        if self._factors is None:
            return np.full(seen.shape, -np.inf, np.float32)
        users = np.stack([self._factors[mask].sum(axis=0) for mask in seen])
        return np.where(seen.any(axis=1, keepdims=True), users @ self._factors.T, -np.inf)

    def user_user(self, query: Query, seen: np.ndarray) -> np.ndarray:
        """What users with a similar history took, float64 ``[b, items]``; -inf everywhere without a seen item."""
        scores = np.full(seen.shape, -np.inf)
        if self._alike is not None:
            for i, mask in enumerate(seen):
                held = np.flatnonzero(mask)
                if len(held):
                    scores[i] = self._alike.scores(held, query.user_codes[i, 0], self._neighbours_alike)
        return scores


def signals(envelopes: Sequence[Envelope], candidates: Candidates, popularity: Popularity) -> dict[str, np.ndarray]:
    """``contracts.features.RETRIEVAL_SIGNALS`` of the candidates, float ``[b, m]`` each."""
    ids, scores = candidates
    valid = ids > 0
    named = {"trend": popularity.at_candidates(envelopes, ids, popularity.trend)}
    for i, source in enumerate(SOURCES):
        named[f"{source}_score"] = standardised(scores[..., i], valid)
        named[f"{source}_log"] = log_of_greatest(scores[..., i], valid)
    return {name: named[name] for name in RETRIEVAL_SIGNALS}
