"""Candidates: two-tower, item-item, trending and the running session's trending items, without what is seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from contracts.blending import RetrievalWeights, retrieval_score
from contracts.features import FIRST_VALUE
from ensemble.steps.arrays import Candidates, Query
from ensemble.steps.covisits import Covisits
from ensemble.steps.envelope import Envelope
from ensemble.steps.lookup import catalogue_mask
from ensemble.steps.popularity import Popularity
from ensemble.steps.release import Release
from ensemble.steps.scores import log_of_greatest, standardised, top_k
from ensemble.steps.sessions import session
from ensemble.steps.tables import Tables

QUERY_TOWER = "retrieval/1/query_tower.onnx"
ITEM_EMBEDDINGS = "retrieval/1/item_embeddings.npy"
ITEM_ITEM = "retrieval/1/item_item.npz"


class Retrieval:
    """Finds a fixed number of candidates a request; columns of its dense arrays are items, column i = code i + 3."""

    def __init__(self, tables: Tables, popularity: Popularity, release: Release):
        self._tables = tables
        self._popularity = popularity
        self._covisits = Covisits(tables, popularity)
        self._tower = session(release.read(QUERY_TOWER))
        self._embeddings = release.array(ITEM_EMBEDDINGS)
        table = release.arrays(ITEM_ITEM)
        # Of the types bincount works with, padding moved to a bin of its own: half the time per request.
        codes = table["neighbours"].astype(np.int64)
        self._neighbours = np.where(codes >= FIRST_VALUE, codes - FIRST_VALUE, tables.items)
        self._weights = table["weights"].astype(np.float64)

    @property
    def width(self) -> int:
        """Candidates a request, padding among them."""
        settings = self._tables.serve
        return (
            settings.two_tower_candidates
            + settings.similar_candidates
            + settings.trending_candidates
            + settings.session_candidates
            + (settings.covisit_candidates if self._tables.features.covisit_half_lives_hours else 0)
        )

    def __call__(self, envelopes: Sequence[Envelope], query: Query) -> Candidates:
        """Candidates of ``b`` requests, in the order of ``retrieval_score``."""
        settings = self._tables.serve
        seen = catalogue_mask(query.seen_items, self._tables.items)
        blocked = blocked_items(envelopes, seen, settings.exclude_seen, self._popularity)
        two_tower, similar = self.two_tower(query), self.similar(seen)
        chosen = np.zeros_like(blocked)
        for scores, number in ((two_tower, settings.two_tower_candidates), (similar, settings.similar_candidates)):
            best = top_k(np.where(blocked, -np.inf, scores), number)
            chosen[np.nonzero(best >= 0)[0], best[best >= 0]] = True
        self._add_trending(chosen, envelopes, blocked)
        self._add_covisits(chosen, envelopes, query, blocked)
        self._add_session(chosen, envelopes, query, blocked)
        return self._merged(chosen, two_tower, similar)

    def _add_trending(self, chosen: np.ndarray, envelopes: Sequence[Envelope], blocked: np.ndarray) -> None:
        """The first of each request's trending list that are not blocked."""
        demand = np.stack([self._popularity.trending(envelope.as_of, envelope.region) for envelope in envelopes])
        best = top_k(np.where(blocked, -np.inf, demand), self._tables.serve.trending_candidates)
        chosen[np.nonzero(best >= 0)[0], best[best >= 0]] = True

    def _add_covisits(
        self, chosen: np.ndarray, envelopes: Sequence[Envelope], query: Query, blocked: np.ndarray
    ) -> None:
        """What goes with the newest item over the longest half-life, where that is counted."""
        for hours in self._tables.features.covisit_half_lives_hours[-1:]:
            counts = self._covisits.counts(envelopes, query, hours)
            best = top_k(np.where(blocked | (counts <= 0), -np.inf, counts), self._tables.serve.covisit_candidates)
            chosen[np.nonzero(best >= 0)[0], best[best >= 0]] = True

    def _add_session(
        self, chosen: np.ndarray, envelopes: Sequence[Envelope], query: Query, blocked: np.ndarray
    ) -> None:
        """Trending items of the running session's categories; most requests have no session and cost nothing."""
        weights = session_weights(self._tables, query)
        category = self._tables.item_category[FIRST_VALUE:]
        for i in np.flatnonzero(weights.any(axis=1)):
            scores = self._popularity.trending(envelopes[i].as_of, envelopes[i].region) * weights[i, category]
            scores[blocked[i] | (scores <= 0)] = -np.inf
            (best,) = top_k(scores[None], self._tables.serve.session_candidates)
            chosen[i, best[best >= 0]] = True

    def two_tower(self, query: Query) -> np.ndarray:
        """Scores of the whole catalogue, float32 ``[b, items]``."""
        inputs = {name: getattr(query, name) for name in ("user_codes", "recent_items", "recent_weights")}
        (embedding,) = self._tower.run(["query_embedding"], inputs)
        return embedding @ self._embeddings.T

    def similar(self, seen: np.ndarray) -> np.ndarray:
        """Item-item scores ``[b, items]``: the sum of the weights by which seen items name an item.

        -inf everywhere for a user without a seen item. A loop over users; each flows from all seen items at once.
        """
        scores = np.full((len(seen), self._tables.items + 1), -np.inf)
        for i, mask in enumerate(seen):
            held = np.flatnonzero(mask)
            if len(held):
                neighbours, weights = self._neighbours[held].ravel(), self._weights[held].ravel()
                scores[i] = np.bincount(neighbours, weights, self._tables.items + 1)
        return scores[:, :-1]

    def _merged(self, chosen: np.ndarray, two_tower: np.ndarray, similar: np.ndarray) -> Candidates:
        """The chosen items as rows of equal width, ordered by the merged score; of equals the smaller code is first."""
        rows, columns = np.nonzero(chosen)
        numbers = chosen.sum(axis=1)
        place = np.arange(len(rows)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
        ids = np.zeros((len(chosen), self.width), np.int32)
        ids[rows, place] = columns + FIRST_VALUE
        scores = np.full((*ids.shape, 2), -np.inf, np.float32)
        scores[rows, place, 0] = two_tower[rows, columns]
        scores[rows, place, 1] = similar[rows, columns]
        merged = np.where(
            ids > 0, merged_score(ids, scores, RetrievalWeights(self._tables.serve.similar_weight, 0.0)), -np.inf
        )
        order = np.argsort(-merged, axis=1, kind="stable")
        return Candidates(np.take_along_axis(ids, order, axis=1), np.take_along_axis(scores, order[..., None], axis=1))


def merged_score(
    ids: np.ndarray, scores: np.ndarray, weights: RetrievalWeights, trend: np.ndarray | float = 0.0
) -> np.ndarray:
    """``contracts.blending.retrieval_score`` of candidates, float ``[b, m]``."""
    valid = ids > 0
    two_tower, similar = standardised(scores[..., 0], valid), log_of_greatest(scores[..., 1], valid)
    return retrieval_score(two_tower, similar, trend, weights)


def blocked_items(
    envelopes: Sequence[Envelope], seen: np.ndarray, exclude_seen: bool, popularity: Popularity
) -> np.ndarray:
    """What must not be answered, bool ``[b, items]``: what is excluded, not there yet and, if so set, what is seen."""
    blocked = seen.copy() if exclude_seen else np.zeros_like(seen)
    for i, envelope in enumerate(envelopes):
        blocked[i] |= ~popularity.appeared(envelope.as_of)
        if envelope.excluded:
            blocked[i, np.asarray(envelope.excluded) - FIRST_VALUE] = True
    return blocked


def session_weights(tables: Tables, query: Query) -> np.ndarray:
    """How much of the running session each category has, by category code, float64 ``[b, categories]``.

    A session of n interactions counts ``n / (n + 1)``, of which each category gets its share: the session's counts are
    those of the shortest half-life.
    """
    counts = query.category_shares.reshape(len(query.category_shares), -1, tables.categories)[:, 0].astype(np.float64)
    # Known categories only: what is unknown of two items makes them no kin.
    counts[:, :FIRST_VALUE] = 0
    weights = counts / (counts.sum(axis=1, keepdims=True) + 1)
    weights[weights < 1e-3] = 0  # a session long over
    return weights
