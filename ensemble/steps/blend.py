"""The last step: ranking, trending and the running session blended by what is known of the user, and the answer."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from contracts.blending import Evidence, by_evidence, personal_score, retrieval_score
from contracts.features import FIRST_VALUE
from contracts.requests import Answer, Source
from ensemble.steps import diversity
from ensemble.steps.arrays import Candidates, Query
from ensemble.steps.envelope import Envelope
from ensemble.steps.lookup import catalogue_mask
from ensemble.steps.popularity import Popularity
from ensemble.steps.retrieval import blocked_items, session_weights
from ensemble.steps.scores import top_k
from ensemble.steps.sources import signals
from ensemble.steps.tables import Tables


class ColdStart:
    """Answers always: without a ranker by retrieval's score, without candidates by trending."""

    def __init__(self, tables: Tables, popularity: Popularity, blend: Mapping[str, Any], vectors: np.ndarray):
        """Reads the blend.

        Args:
            tables: of the release.
            popularity: of its buckets.
            blend: the document ``blend.json``.
            vectors: the two-tower's items, float32 ``[items, width]``: how alike two of them are.
        """
        self._tables = tables
        self.vectors = vectors
        self._popularity = popularity
        self._retrieval_weight = float(blend["retrieval_weight"])
        self._spread = float(blend["spread"])
        self._weights: Mapping[str, float] = blend["signals"]
        self._halves = Evidence(float(blend["evidence_half"]), float(blend["ranker_evidence_half"]))

    def __call__(
        self, envelopes: Sequence[Envelope], query: Query, candidates: Candidates, ranked: np.ndarray
    ) -> list[Answer]:
        """Answers of ``b`` requests.

        Args:
            envelopes: the requests.
            query: what is known of the users.
            candidates: of retrieval; all padding when retrieval was skipped.
            ranked: float32 ``[b, m]``, calibrated probabilities; NaN where ranking was skipped.
        """
        ids = candidates.candidate_ids
        seen = catalogue_mask(query.seen_items, self._tables.items)
        blocked = blocked_items(envelopes, seen, self._tables, self._popularity)
        at = np.maximum(ids - FIRST_VALUE, 0).astype(np.int64)
        # What went from the shelf since retrieval looked is no candidate any more.
        valid = (ids > 0) & ~np.take_along_axis(blocked, at, axis=1)
        known = signals(envelopes, candidates, self._popularity)
        trending = np.stack([self._popularity.trending(x.as_of, x.region) for x in envelopes])
        category = self._tables.item_category[ids]
        in_session = np.take_along_axis(session_weights(self._tables, query), category, axis=1)
        evidence, demand = np.array([[x.evidence] for x in envelopes]), np.take_along_axis(trending, at, axis=1)
        logged = self._personal(valid, known, ranked)
        personal, common = by_evidence(logged, known["two_tower_score"], demand, evidence, self._halves)
        personal += self._tables.serve.session_weight * in_session
        final = np.where(valid, personal + common, -np.inf)
        similar = known["similar_score"] > known["two_tower_score"]
        sources = np.where(common > personal, Source.TRENDING, np.where(similar, Source.SIMILAR, Source.PERSONAL))
        answers = []
        for i, (envelope, row) in enumerate(zip(envelopes, self._best(envelopes, final, at))):
            listed = ids[i, row], final[i, row], sources[i, row].tolist()
            if len(row) < envelope.k:
                listed = filled(envelope.k, *listed, np.where(blocked[i], -np.inf, trending[i]))
            answers.append(self._answer(envelope, *listed))
        return answers

    def _best(self, envelopes: Sequence[Envelope], final: np.ndarray, at: np.ndarray) -> list[np.ndarray]:
        """Places of each request's k best candidates, or of k good and unlike ones where it asks for diversity."""
        pools = [max(x.k, diversity.POOL) if x.diversity else x.k for x in envelopes]
        best = top_k(final, max(pools, default=0))
        rows = []
        for i, (envelope, pool) in enumerate(zip(envelopes, pools)):
            row = best[i, :pool]
            row = row[row >= 0]
            if envelope.diversity:
                row = row[diversity.spread_out(self.vectors[at[i, row]], envelope.k, envelope.diversity)]
            rows.append(row)
        return rows

    def _personal(self, valid: np.ndarray, known: Mapping[str, np.ndarray], ranked: np.ndarray) -> np.ndarray:
        """``personal_score`` of the candidates, float64 ``[b, m]``; -inf where padded."""
        merged = retrieval_score(known, self._weights)
        logged = personal_score(ranked, merged, self._retrieval_weight, self._spread).astype(np.float64)
        return np.where(valid, logged, -np.inf)

    def _answer(self, envelope: Envelope, codes: np.ndarray, scores: np.ndarray, sources: list[str]) -> Answer:
        envelope = says_if_short(envelope, len(codes))
        return Answer(
            request_id=envelope.request_id or uuid.uuid4().hex,
            user_id=envelope.user_id,
            item_ids=tuple(self._tables.item_ids[codes].tolist()),
            scores=tuple(np.asarray(scores, np.float32).tolist()),
            sources=tuple(sources),
            release=self._tables.release,
            variant=envelope.variant,
            feature_age_ms=envelope.feature_age_ms,
            skipped=tuple({"stage": stage, "reason": reason} for stage, reason in envelope.skipped),
        )


def filled(
    k: int, codes: np.ndarray, scores: np.ndarray, sources: list[str], trending: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """A list that is too short, made up with trending; all of the catalogue that is allowed, when that is less."""
    trending = trending.copy()
    trending[codes - FIRST_VALUE] = -np.inf
    (more,) = top_k(trending[None], k - len(codes))
    more = more[more >= 0]
    last = float(scores.min(initial=1.0))
    return (
        np.concatenate([codes, more + FIRST_VALUE]),
        np.concatenate([scores, trending[more] * last]),
        [*sources, *[Source.TRENDING] * len(more)],
    )


def says_if_short(envelope: Envelope, number: int) -> Envelope:
    """The envelope, with a word on it where fewer items may be listed than were asked for."""
    if number >= envelope.k:
        return envelope
    return envelope.with_skipped("cold_start", f"{number} of {envelope.k} items: no others may be listed")
