"""Items like an item, for nobody in particular: the answer of ``POST /v1/similar-items``, always.

Three things say that two items go together: item-item neighbours (EASE: both are taken by the same users), the cosine
of the two-tower's items (both are taken after the like, or have like attributes) and co-visits (one is taken right
after the other). Each is brought to 0 to 1 by its greatest and weighed; the weights were chosen on window C
(docs/results.md).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import numpy as np

from contracts.features import FIRST_VALUE, NULL
from contracts.requests import SimilarAnswer, SimilarRequest, Source
from ensemble.steps import diversity
from ensemble.steps.blend import filled, says_if_short
from ensemble.steps.covisits import Covisits
from ensemble.steps.envelope import Envelope, deadline
from ensemble.steps.graphs import ITEM_EMBEDDINGS
from ensemble.steps.lookup import Lookup
from ensemble.steps.popularity import Popularity
from ensemble.steps.release import Release
from ensemble.steps.retrieval import blocked_items
from ensemble.steps.scores import top_k
from ensemble.steps.sources import ITEM_ITEM
from ensemble.steps.tables import Tables


class SimilarItems:
    """Answers requests for items like an item; an item that is not known is answered by trending."""

    def __init__(self, tables: Tables, popularity: Popularity, release: Release):
        self._tables = tables
        self.popularity = popularity
        self._covisits = Covisits(tables, popularity)
        self._lookup = Lookup(tables)
        self._vectors = release.array(ITEM_EMBEDDINGS)
        self._lengths = np.maximum(np.linalg.norm(self._vectors.astype(np.float64), axis=1), diversity.LEAST_LENGTH)
        table = release.arrays(ITEM_ITEM)
        self._neighbours, self._weights = table["neighbours"], table["weights"]

    def envelope(
        self, request: SimilarRequest, as_of: int, started_ms: int, variant: str = "", recorded: bool = False
    ) -> Envelope:
        """The request on its way; ``Lookup.envelope`` of a request without a user. What is asked about is excluded."""
        item = self.codes([request.item_id])
        envelope = Envelope(
            user_id=request.item_id,
            as_of=as_of,
            deadline=deadline(started_ms, request.deadline_ms),
            k=request.k,
            region=request.region,
            excluded=(*item, *self.codes(request.exclude_ids)),
            **self._lookup.wishes(request),
            recorded=recorded,
            request_id=request.request_id,
            variant=variant,
        )
        return envelope if item else envelope.with_skipped("retrieval", "no item of the release has this id")

    def __call__(
        self, requests: Sequence[SimilarRequest], envelopes: Sequence[Envelope], only_trending: bool = False
    ) -> list[SimilarAnswer]:
        """Answers of ``b`` requests; a loop over them."""
        nobody = np.zeros((len(envelopes), self._tables.items), bool)
        blocked = blocked_items(envelopes, nobody, self._tables, self.popularity)
        return [
            self._answer(envelope, () if only_trending else self.codes([request.item_id]), mask)
            for request, envelope, mask in zip(requests, envelopes, blocked)
        ]

    def codes(self, ids: Sequence[str]) -> tuple[int, ...]:
        """Codes of those ids that are in the catalogue."""
        return self._lookup.codes(ids)

    def scores(self, code: int, as_of: int) -> np.ndarray:
        """How much each item goes with one, float64 ``[items]``; 0 where nothing speaks for it."""
        parts = self.parts(code, as_of)
        return sum((weight * parts[name] for name, weight in self.weights.items()), np.zeros(self._tables.items))

    @property
    def weights(self) -> dict[str, float]:
        """Of the settings, by part."""
        serve = self._tables.serve
        return {
            "item_item": serve.similar_item_item,
            "two_tower": serve.similar_two_tower,
            "covisits": serve.similar_covisits,
        }

    def parts(self, code: int, as_of: int) -> dict[str, np.ndarray]:
        """What speaks for each item, float64 ``[items]`` each, from 0 to 1."""
        neighbours = np.zeros(self._tables.items + FIRST_VALUE)
        row = self._neighbours[code - FIRST_VALUE]
        np.maximum.at(neighbours, row, np.where(row >= FIRST_VALUE, self._weights[code - FIRST_VALUE], 0.0))
        cosines = self._vectors @ self._vectors[code - FIRST_VALUE] / self._lengths
        together = np.zeros(self._tables.items)
        for hours in self._tables.features.covisit_half_lives_hours[-1:]:
            together = self._covisits.of_items(as_of, [code], hours)
        held = {"item_item": neighbours[FIRST_VALUE:], "two_tower": cosines, "covisits": together}
        return {name: _of_greatest(values, code) for name, values in held.items()}

    def _answer(self, envelope: Envelope, item: Sequence[int], blocked: np.ndarray) -> SimilarAnswer:
        listed = np.zeros(0, np.int64), np.zeros(0), list[str]()
        trending = np.where(blocked, -np.inf, self.popularity.trending(envelope.as_of, envelope.region))
        for code in item:
            listed = self._like(envelope, code, blocked)
            category = self._tables.shelves.of(envelope).category
            kin = (category == category[code - FIRST_VALUE]) & (category[code - FIRST_VALUE] > NULL)
            listed = filled(envelope.k, *listed, np.where(kin, trending, -np.inf))
        codes, scores, sources = filled(envelope.k, *listed, trending)
        envelope = says_if_short(envelope, len(codes))
        return SimilarAnswer(
            request_id=envelope.request_id or uuid.uuid4().hex,
            item_id=envelope.user_id,
            item_ids=tuple(self._tables.item_ids[codes].tolist()),
            scores=tuple(np.asarray(scores, np.float32).tolist()),
            sources=tuple(sources),
            release=self._tables.release,
            variant=envelope.variant,
            skipped=tuple({"stage": stage, "reason": reason} for stage, reason in envelope.skipped),
        )

    def _like(self, envelope: Envelope, code: int, blocked: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Codes, scores and sources of what goes with an item, best first."""
        scores = self.scores(code, envelope.as_of)
        pool = max(envelope.k, diversity.POOL) if envelope.diversity else envelope.k
        (best,) = top_k(np.where(blocked | (scores <= 0), -np.inf, scores)[None], pool)
        best = best[best >= 0]
        if envelope.diversity:
            best = best[diversity.spread_out(self._vectors[best], envelope.k, envelope.diversity)]
        return best + FIRST_VALUE, scores[best], [Source.SIMILAR] * len(best)


def _of_greatest(values: np.ndarray, code: int) -> np.ndarray:
    """What is above 0, as parts of the greatest among all items but one."""
    held = np.maximum(values.astype(np.float64), 0.0)
    held[code - FIRST_VALUE] = 0.0
    return held / max(held.max(), 1e-30)
