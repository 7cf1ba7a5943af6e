"""What scores the whole catalogue for a user, and the signals that candidates' scores become."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from contracts.features import FIRST_VALUE, RETRIEVAL_SIGNALS, SOURCES
from contracts.user_user import Alike, Histories
from ensemble.steps.arrays import Candidates, Query
from ensemble.steps.envelope import Envelope
from ensemble.steps.graphs import Graph, two_tower
from ensemble.steps.popularity import Popularity
from ensemble.steps.release import Release
from ensemble.steps.scores import log_of_greatest, standardised
from ensemble.steps.tables import Tables

ITEM_ITEM = "retrieval/1/item_item.npz"
#: These two a release need not have.
ALS = "retrieval/1/als.npy"
USER_USER = "retrieval/1/user_user.npz"


class Sources:
    """``contracts.features.SOURCES`` of a release; columns of what they give are items, column i = code i + 3."""

    def __init__(self, tables: Tables, release: Release, towers: Graph | None = None):
        self._items = tables.items
        self._neighbours_alike = tables.serve.user_user_neighbours
        self._half_items = tables.serve.history_half_items
        self._towers = towers or two_tower(release)
        table = release.arrays(ITEM_ITEM)
        self._neighbours, self._weights = table["neighbours"], table["weights"]
        files = release.document["files"]
        self._factors = release.array(ALS) if ALS in files else None
        self._alike = Alike(Histories(**release.arrays(USER_USER)), tables.items) if USER_USER in files else None

    def __call__(self, query: Query, seen: np.ndarray) -> dict[str, np.ndarray]:
        """By source, its scores float ``[b, items]``; -inf where it knows nobody.

        Args:
            query: what is known of the users.
            seen: bool ``[b, items]``, what each has taken.
        """
        found = [self.two_tower(query), self.similar(seen), self.als(seen), self.user_user(query, seen)]
        if self._half_items:
            fading = faded(query.seen_items, self._items, self._half_items)
            found += [self.similar(fading), self.als(fading)]
        else:
            found += [np.full(seen.shape, -np.inf, np.float32)] * 2
        return dict(zip(SOURCES, found, strict=True))

    def two_tower(self, query: Query) -> np.ndarray:
        """Cosines of query and items, float32 ``[b, items]``."""
        names = "user_codes", "recent_items", "recent_weights"
        return self._towers({name: getattr(query, name) for name in names})

    def similar(self, taken: np.ndarray) -> np.ndarray:
        """Item-item scores ``[b, items]``: the sum of the weights by which taken items name an item.

        -inf everywhere for a user without one. A loop over users; each flows from all taken items at once.

        Args:
            taken: ``[b, items]``, how much each item counts in a history; bool, or float from 0 to 1.
        """
        # Codes as they are, so that padding has bins of its own.
        scores = np.full((len(taken), self._items + FIRST_VALUE), -np.inf)
        for i, counts in enumerate(taken):
            held = np.flatnonzero(counts)
            if len(held):
                weights = np.multiply(self._weights[held], counts[held, None], dtype=np.float64)
                scores[i] = np.bincount(self._neighbours[held].ravel(), weights.ravel(), scores.shape[1])
        return scores[:, FIRST_VALUE:]

    def als(self, taken: np.ndarray) -> np.ndarray:
        """Matrix factorisation, float32 ``[b, items]``: a user is the sum of his items' factors (``train/als.py``).

        -inf everywhere for a user without a taken item (``similar`` has the same argument).
        """
        if self._factors is None:
            return np.full(taken.shape, -np.inf, np.float32)
        held = [np.flatnonzero(counts) for counts in taken]
        users = np.stack([counts[places] @ self._factors[places] for counts, places in zip(taken, held)])
        return np.where(taken.any(axis=1, keepdims=True), users @ self._factors.T, -np.inf).astype(np.float32)

    def user_user(self, query: Query, seen: np.ndarray) -> np.ndarray:
        """What users with a similar history took, float64 ``[b, items]``; -inf everywhere without a seen item."""
        scores = np.full(seen.shape, -np.inf)
        if self._alike is not None:
            for i, mask in enumerate(seen):
                held = np.flatnonzero(mask)
                if len(held):
                    scores[i] = self._alike.scores(held, query.user_codes[i, 0], self._neighbours_alike)
        return scores


def faded(seen: np.ndarray, items: int, half_items: float) -> np.ndarray:
    """How much each item counts in a history that fades, float32 ``[b, items]``, column i = code i + 3.

    Args:
        seen: int ``[b, seen]``, codes of distinct items, those taken last first, 0 pads.
        items: the catalogue's size.
        half_items: distinct items taken since, after which one counts half. A count of items, not of days: who comes
            once a month has not forgotten what he likes.
    """
    counts = np.exp2(-np.arange(seen.shape[1]) / half_items).astype(np.float32)
    places = np.zeros((len(seen), items + FIRST_VALUE), np.float32)
    np.put_along_axis(places, seen.astype(np.int64), np.where(seen > 0, counts, np.float32(0)), axis=1)
    return places[:, FIRST_VALUE:]


def signals(envelopes: Sequence[Envelope], candidates: Candidates, popularity: Popularity) -> dict[str, np.ndarray]:
    """``contracts.features.RETRIEVAL_SIGNALS`` of the candidates, float ``[b, m]`` each."""
    ids, scores = candidates
    valid = ids > 0
    named = {"trend": popularity.at_candidates(envelopes, ids, popularity.trend)}
    for i, source in enumerate(SOURCES):
        named[f"{source}_score"] = standardised(scores[..., i], valid)
        named[f"{source}_log"] = log_of_greatest(scores[..., i], valid)
    return {name: named[name] for name in RETRIEVAL_SIGNALS}
