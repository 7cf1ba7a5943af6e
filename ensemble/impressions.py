"""What is logged of an answer: ``contracts.impressions`` of what passed the steps.

The ranker's inputs are computed a second time, off the request's path, by the code and from the arrays that made them
the first time.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from contracts.features import SOURCES, query_columns, ranker_categorical, ranker_continuous
from contracts.requests import Answer, SimilarAnswer
from ensemble.steps.arrays import Candidates, Query
from ensemble.steps.envelope import Envelope
from ensemble.steps.ranker import RankerFeatures
from ensemble.steps.tables import Tables


@dataclasses.dataclass(frozen=True)
class Passage:
    """One request's way through the steps, ``b`` = 1; ``ranked`` as ``ColdStart`` takes it."""

    envelope: Envelope
    query: Query
    candidates: Candidates
    ranked: np.ndarray
    answer: Answer


@dataclasses.dataclass(frozen=True)
class OfItem:
    """One request for similar items: no user stands behind it."""

    envelope: Envelope
    answer: SimilarAnswer


def passages(
    envelopes: Sequence[Envelope], query: Query, candidates: Candidates, ranked: np.ndarray, answers: Sequence[Answer]
) -> list[Passage]:
    """``b`` requests' ways, each as views of the batch's arrays."""
    made = []
    for i, (envelope, answer) in enumerate(zip(envelopes, answers)):
        own = slice(i, i + 1)
        own_query, own_candidates = Query(*(x[own] for x in query)), Candidates(*(x[own] for x in candidates))
        made.append(Passage(envelope, own_query, own_candidates, ranked[own], answer))
    return made


class Impressions:
    """Passages to records."""

    def __init__(self, tables: Tables, features: RankerFeatures):
        self._tables = tables
        self._features = features
        settings = tables.features
        self._names = {
            "query_columns": query_columns(settings),
            "retrieval_sources": SOURCES,
            "categorical_columns": ranker_categorical(settings),
            "continuous_columns": ranker_continuous(settings),
        }

    def __call__(self, passage: Passage | OfItem) -> dict[str, Any]:
        """A value for each of ``contracts.impressions.FIELDS``."""
        envelope, answer = passage.envelope, passage.answer
        own = self._of_user(passage) if isinstance(passage, Passage) else self._of_nobody(passage)
        return {
            **self._names,
            **{name: getattr(envelope, name) for name in _OF_ENVELOPE},
            "request_id": answer.request_id,
            "context": json.dumps(envelope.context, separators=(",", ":"), ensure_ascii=False),
            "release": answer.release,
            "skipped": {each["stage"]: each["reason"] for each in answer.skipped},
            "item_ids": answer.item_ids,
            "scores": answer.scores,
            "sources": answer.sources,
            **own,
        }

    def _of_user(self, passage: Passage) -> dict[str, Any]:
        envelope, query = passage.envelope, passage.query
        recent = query.recent_items[0] > 0
        return {
            # Who came with an anonymous id alone goes under it.
            "user_id": "" if envelope.user_id == envelope.anonymous_id else envelope.user_id,
            "item_id": "",
            "user_codes": query.user_codes[0],
            "recent_items": query.recent_items[0][recent],
            "recent_weights": query.recent_weights[0][recent],
            "category_counts": query.category_shares[0],
            **self._of_items(passage),
        }

    def _of_nobody(self, passage: OfItem) -> dict[str, Any]:
        nothing = np.zeros(0)
        unknown = ("user_codes", "recent_items", "recent_weights", "category_counts")
        return {
            "user_id": "",
            "item_id": passage.answer.item_id,
            "query_columns": (),
            **dict.fromkeys(unknown, nothing),
            **self._unasked(len(passage.answer.item_ids)),
        }

    def _unasked(self, shown: int) -> dict[str, np.ndarray]:
        """What is said of items that neither retrieval nor the ranker was asked of."""
        return {
            "retrieval_scores": np.full((shown, len(SOURCES)), np.nan, np.float32),
            "probabilities": np.full(shown, np.nan, np.float32),
            "categorical": np.zeros((shown, len(self._names["categorical_columns"])), np.int32),
            "continuous": np.full((shown, len(self._names["continuous_columns"])), np.nan, np.float32),
        }

    def _of_items(self, passage: Passage) -> dict[str, np.ndarray]:
        """What retrieval and ranker said of the items shown, and from what."""
        candidates, ranked = passage.candidates, passage.ranked[0]
        codes = [self._tables.vocabularies["item_id"][item] for item in passage.answer.item_ids]
        place = {code: i for i, code in enumerate(candidates.candidate_ids[0].tolist())}
        at = np.array([place.get(code, -1) for code in codes], np.int64)
        found, asked = at >= 0, (at >= 0) & ~np.isnan(ranked)[at]
        made = self._unasked(len(at))
        made["retrieval_scores"][found] = candidates.candidate_scores[0][at[found]]
        if asked.any():
            categorical, continuous = self._features([passage.envelope], passage.query, candidates)
            made["probabilities"][asked] = ranked[at[asked]]
            made["categorical"][asked] = categorical[0][at[asked]]
            made["continuous"][asked] = continuous[0][at[asked]]
        return made


#: Fields that the envelope has under the same name.
_OF_ENVELOPE = ("anonymous_id", "session_id", "device", "region", "as_of", "variant", "k", "feature_age_ms",
                "evidence", "session_dwell_ms")  # fmt: skip
