"""Candidates: the best of each source, trending and the running session's trending items, without what is seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from contracts.blending import retrieval_score
from contracts.features import FIRST_VALUE, PROPOSING, SOURCES
from ensemble.steps.arrays import Candidates, Query
from ensemble.steps.covisits import Covisits
from ensemble.steps.envelope import Envelope
from ensemble.steps.graphs import Graph
from ensemble.steps.lookup import catalogue_mask
from ensemble.steps.popularity import Popularity
from ensemble.steps.release import Release
from ensemble.steps.scores import top_k
from ensemble.steps.sources import Sources, signals
from ensemble.steps.tables import Tables


class Retrieval:
    """Finds a fixed number of candidates a request; columns of its dense arrays are items, column i = code i + 3."""

    def __init__(self, tables: Tables, popularity: Popularity, release: Release, towers: Graph | None = None):
        self._tables = tables
        self._popularity = popularity
        self._covisits = Covisits(tables, popularity)
        self.sources = Sources(tables, release, towers)
        # A release that finds the ranker's candidates has no blend yet: they come in the order of codes.
        self._weights = release.document.get("blend", {}).get("signals", {})

    @property
    def width(self) -> int:
        """Candidates a request, padding among them."""
        return candidates_width(self._tables)

    def __call__(self, envelopes: Sequence[Envelope], query: Query) -> Candidates:
        """Candidates of ``b`` requests, in the order of ``retrieval_score``."""
        seen = catalogue_mask(query.seen_items, self._tables.items)
        blocked = blocked_items(envelopes, seen, self._tables, self._popularity)
        scores = self.sources(query, seen)
        chosen = np.zeros_like(blocked)
        for source, number in proposed(self._tables).items():
            if number:
                best = top_k(np.where(blocked, -np.inf, scores[source]), number)
                chosen[np.nonzero(best >= 0)[0], best[best >= 0]] = True
        self._add_trending(chosen, envelopes, blocked)
        self._add_covisits(chosen, envelopes, query, blocked)
        self._add_session(chosen, envelopes, query, blocked)
        return self._merged(envelopes, chosen, scores)

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

    def _merged(
        self, envelopes: Sequence[Envelope], chosen: np.ndarray, by_source: Mapping[str, np.ndarray]
    ) -> Candidates:
        """The chosen items as rows of equal width, ordered by the merged score; of equals the smaller code is first."""
        rows, columns = np.nonzero(chosen)
        numbers = chosen.sum(axis=1)
        place = np.arange(len(rows)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
        ids = np.zeros((len(chosen), self.width), np.int32)
        ids[rows, place] = columns + FIRST_VALUE
        scores = np.full((*ids.shape, len(SOURCES)), -np.inf, np.float32)
        for i, source in enumerate(SOURCES):
            scores[rows, place, i] = by_source[source][rows, columns]
        merged = retrieval_score(signals(envelopes, Candidates(ids, scores), self._popularity), self._weights)
        order = np.argsort(-np.where(ids > 0, merged, -np.inf), axis=1, kind="stable")
        return Candidates(np.take_along_axis(ids, order, axis=1), np.take_along_axis(scores, order[..., None], axis=1))


def proposed(tables: Tables) -> dict[str, int]:
    """By source, how many of its best become candidates."""
    serve = tables.serve
    numbers = serve.two_tower_candidates, serve.similar_candidates, serve.als_candidates, serve.user_user_candidates
    return dict(zip(PROPOSING, numbers, strict=True))


def candidates_width(tables: Tables) -> int:
    """Candidates a request of a release, padding among them."""
    settings = tables.serve
    return (
        sum(proposed(tables).values())
        + settings.trending_candidates
        + settings.session_candidates
        + (settings.covisit_candidates if tables.features.covisit_half_lives_hours else 0)
    )


def blocked_items(
    envelopes: Sequence[Envelope], seen: np.ndarray, tables: Tables, popularity: Popularity
) -> np.ndarray:
    """What must not be answered, bool ``[b, items]``.

    That is what is excluded, filtered or ruled out, not there (yet) and, if so set, what is seen.
    """
    blocked = seen.copy() if tables.serve.exclude_seen else np.zeros_like(seen)
    for i, envelope in enumerate(envelopes):
        blocked[i] |= ~popularity.appeared(envelope.as_of) | tables.shelves.of(envelope).blocked(envelope)
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
