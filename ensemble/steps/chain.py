"""The steps of a release, loaded; and all of them in a row, in one process: the oracle for what Triton serves."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from contracts.requests import Answer, Request
from ensemble.steps.arrays import Candidates, Query
from ensemble.steps.blend import ColdStart
from ensemble.steps.envelope import Envelope
from ensemble.steps.graphs import ITEM_EMBEDDINGS
from ensemble.steps.lookup import Lookup, Row
from ensemble.steps.popularity import Popularity
from ensemble.steps.ranker import Ranker, RankerFeatures
from ensemble.steps.release import Release
from ensemble.steps.retrieval import Retrieval
from ensemble.steps.similar import SimilarItems
from ensemble.steps.tables import Tables, load


@dataclasses.dataclass(frozen=True)
class Answered:
    """One batch's way: what retrieval found and what was answered."""

    envelopes: list[Envelope]
    query: Query
    candidates: Candidates
    ranked: np.ndarray
    answers: list[Answer]


class Chain:
    """Lookup, retrieval, ranker and cold start over one set of tables; and items like an item, where they are asked."""

    def __init__(self, release: Release):
        self._release = release
        self.tables: Tables = load(release)
        self.popularity = Popularity(self.tables)
        self.lookup = Lookup(self.tables)
        self.retrieval = Retrieval(self.tables, self.popularity, release)
        self.ranker = Ranker(RankerFeatures(self.tables, self.popularity), release)
        self.cold_start = cold_start(self.tables, self.popularity, release)

    @functools.cached_property
    def similar(self) -> SimilarItems:
        """Answers requests for items like an item."""
        return SimilarItems(self.tables, self.popularity, self._release)

    def answer(self, requests: Sequence[Request], rows: Sequence[Row], as_of: Sequence[int], now_ms: int) -> Answered:
        """Answer ``b`` requests from raw rows, as of their instants; nothing is skipped."""
        envelopes = [
            self.lookup.envelope(request, row, instant, now_ms) for request, row, instant in zip(requests, rows, as_of)
        ]
        query = self.lookup.query(envelopes, rows)
        candidates = self.retrieval(envelopes, query)
        ranked = self.ranker(envelopes, query, candidates)
        answers = self.cold_start(envelopes, query, candidates, ranked)
        return Answered(envelopes, query, candidates, ranked, answers)


def cold_start(tables: Tables, popularity: Popularity, release: Release) -> ColdStart:
    """The last step of a release."""
    return ColdStart(tables, popularity, release.document["blend"], release.array(ITEM_EMBEDDINGS))
