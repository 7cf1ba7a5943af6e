"""The four steps as Triton calls them: tensors by name in, tensors by name out, and what to do when a step fails.

A step prepares each request by itself (so that a bad one harms no neighbour), runs once for all of them, and degrades
instead of failing. ``triton_io`` drives it; nothing here knows Triton.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from contracts.errors import StackError
from contracts.features import SOURCES
from contracts.requests import Answer, SimilarAnswer
from ensemble import asked
from ensemble.asked import Asked
from ensemble.impressions import Passage, passages
from ensemble.steps.arrays import Candidates, Query
from ensemble.steps.blend import ColdStart
from ensemble.steps.envelope import Envelope, skip_overdue
from ensemble.steps.lookup import Lookup, Row
from ensemble.steps.ranker import Ranker
from ensemble.steps.retrieval import Retrieval

log = logging.getLogger(__name__)

Tensors = dict[str, np.ndarray]


def now_ms() -> int:
    """The wall clock, ms."""
    return time.time_ns() // 1_000_000


class Store(Protocol):
    """Where raw rows come from."""

    def read(self, user_ids: Sequence[str]) -> list[dict[str, Any] | StackError]:
        """Rows of users, an error in the place of one that cannot be had."""
        ...


class LookupStep:
    """``feature_lookup``: checks, reads and encodes."""

    def __init__(self, lookup: Lookup, store: Store, variant: str = "", clock: Callable[[], int] = now_ms):
        self._lookup = lookup
        self._store = store
        self._variant = variant
        self._clock = clock

    def prepare(self, tensors: Tensors) -> Tensors:
        """Checked requests, object ``[n]`` of ``Asked``: a batch in one body is as many rows as it has elements.

        Raises:
            RequestError: when one of them breaks the contract.
        """
        return {"asked": objects(asked.read(tensors))}

    def run(self, batch: Tensors) -> Tensors:
        """Envelopes and queries; without the online store users are unknown, and the envelope says so."""
        ids = [user for one in batch["asked"] for user in one.ids]
        try:
            read = iter(self._store.read(ids) if ids else [])
        except StackError as error:
            log.warning("feature_lookup: %s", error)
            read = iter([error] * len(ids))
        return self._encoded(list(batch["asked"]), [[next(read) for _ in one.ids] for one in batch["asked"]])

    def degrade(self, batch: Tensors, error: Exception) -> Tensors:
        """Everybody is a user never seen."""
        return self._encoded(list(batch["asked"]), [[StackError(reason(error))]] * len(batch["asked"]))

    def _encoded(self, batch: Sequence[Asked], read: Sequence[Sequence[Row | StackError]]) -> Tensors:
        """Args: the requests, and of each the rows that were read, or why one could not be."""
        started = self._clock()
        rows, envelopes = [], []
        for one, found in zip(batch, read):
            failures = [str(part) for part in found if isinstance(part, StackError)]
            row = self._lookup.person([part for part in found if not isinstance(part, StackError)])
            instant = started
            if one.golden is not None:
                row, instant = row if failures else one.golden["row"], one.golden["as_of"]
            envelope = self._lookup.envelope(one.request, row, instant, started, self._variant, one.golden is not None)
            if failures:
                envelope = envelope.with_skipped("feature_lookup", failures[0])
            rows.append(row)
            envelopes.append(dataclasses.replace(envelope, batch=one.batch, refusal=one.refusal))
        return {"envelope": _packed(envelopes), **self._lookup.query(envelopes, rows)._asdict()}

    def finish(self, outputs: Tensors) -> Tensors:
        """One request's outputs as they are."""
        return outputs


class RetrievalStep:
    """``retrieval``: candidates; none when it fails or the time is over."""

    def __init__(self, retrieval: Retrieval, clock: Callable[[], int] = now_ms):
        self._retrieval = retrieval
        self._clock = clock

    def prepare(self, tensors: Tensors) -> Tensors:
        """Inputs as they are."""
        return tensors

    def run(self, batch: Tensors) -> Tensors:
        """Candidates of those requests that have time left."""
        envelopes, due = skip_overdue(_unpacked(batch), "retrieval", self._clock())
        outputs = self._empty(envelopes)
        if any(due):
            query = Query(*(batch[name][due] for name in Query._fields))
            found = self._retrieval([x for x, runs in zip(envelopes, due) if runs], query)
            outputs["candidate_ids"][due], outputs["candidate_scores"][due] = found
        return outputs

    def degrade(self, batch: Tensors, error: Exception) -> Tensors:
        """No candidates: the answer will be trending."""
        return self._empty(_skipped(batch, "retrieval", error))

    def finish(self, outputs: Tensors) -> Tensors:
        """One request's outputs as they are."""
        return outputs

    def _empty(self, envelopes: list[Envelope]) -> Tensors:
        shape = (len(envelopes), self._retrieval.width)
        return {
            "envelope": _packed(envelopes),
            "candidate_ids": np.zeros(shape, np.int32),
            "candidate_scores": np.full((*shape, len(SOURCES)), -np.inf, np.float32),
        }


class RankerStep:
    """``ranker``: probabilities; NaN when it fails or the time is over."""

    def __init__(self, ranker: Ranker, clock: Callable[[], int] = now_ms):
        self._ranker = ranker
        self._clock = clock

    def prepare(self, tensors: Tensors) -> Tensors:
        """Inputs as they are."""
        return tensors

    def run(self, batch: Tensors) -> Tensors:
        """Probabilities of the candidates of those requests that have time left."""
        envelopes, due = skip_overdue(_unpacked(batch), "ranker", self._clock())
        scores = np.full(batch["candidate_ids"].shape, np.nan, np.float32)
        if any(due):
            query = Query(*(batch[name][due] for name in Query._fields))
            candidates = Candidates(*(batch[name][due] for name in Candidates._fields))
            scores[due] = self._ranker([x for x, runs in zip(envelopes, due) if runs], query, candidates)
        return {"envelope": _packed(envelopes), "ranker_scores": scores}

    def degrade(self, batch: Tensors, error: Exception) -> Tensors:
        """Nothing is ranked: the answer will be in retrieval's order."""
        scores = np.full(batch["candidate_ids"].shape, np.nan, np.float32)
        return {"envelope": _packed(_skipped(batch, "ranker", error)), "ranker_scores": scores}

    def finish(self, outputs: Tensors) -> Tensors:
        """One request's outputs as they are."""
        return outputs


class ColdStartStep:
    """``cold_start``: the answer, always."""

    def __init__(self, cold_start: ColdStart, answered: Callable[[Passage], None]):
        self._cold_start = cold_start
        self._answered = answered

    def prepare(self, tensors: Tensors) -> Tensors:
        """Inputs as they are."""
        return tensors

    def run(self, batch: Tensors) -> Tensors:
        """Passages with their answers, object ``[b]``."""
        candidates = Candidates(*(batch[name] for name in Candidates._fields))
        return self._passages(batch, _unpacked(batch), candidates, batch["ranker_scores"])

    def degrade(self, batch: Tensors, error: Exception) -> Tensors:
        """Trending, whatever the steps before have found."""
        envelopes = _skipped(batch, "cold_start", error)
        ids = np.zeros_like(batch["candidate_ids"])
        candidates = Candidates(ids, np.full((*ids.shape, len(SOURCES)), -np.inf, np.float32))
        return self._passages(batch, envelopes, candidates, np.full(ids.shape, np.nan, np.float32))

    def _passages(
        self, batch: Tensors, envelopes: list[Envelope], candidates: Candidates, ranked: np.ndarray
    ) -> Tensors:
        query = Query(*(batch[name] for name in Query._fields))
        answers = self._cold_start(envelopes, query, candidates, ranked)
        return {"passages": objects(passages(envelopes, query, candidates, ranked, answers))}

    def finish(self, outputs: Tensors) -> Tensors:
        """One Triton request's answers as tensors."""
        held: list[Passage] = list(outputs["passages"])
        answers, envelopes = [passage.answer for passage in held], [passage.envelope for passage in held]
        made = answer_tensors(answers, asked.responses(envelopes, answers))
        for passage in held:
            if not passage.envelope.refusal:
                self._answered(passage)
        return made


def answer_tensors(answers: Sequence[Answer | SimilarAnswer], responses: list[bytes]) -> Tensors:
    """Answers as the model's tensors, as wide as the longest: shorter ones end in "" and 0."""
    # A tensor without elements would be none, so an empty list ends at once.
    width = max(1, *(len(answer.item_ids) for answer in answers))
    return {
        "item_ids": _texts([answer.item_ids for answer in answers], width),
        "scores": np.array([(*answer.scores, *[0.0] * (width - len(answer.scores))) for answer in answers], np.float32),
        "sources": _texts([answer.sources for answer in answers], width),
        "release": _texts([(answer.release,) for answer in answers], 1),
        "response": _column(responses),
    }


def _skipped(batch: Tensors, stage: str, error: Exception) -> list[Envelope]:
    return [envelope.with_skipped(stage, reason(error)) for envelope in _unpacked(batch)]


def reason(error: Exception) -> str:
    """What an answer says of an error: enough to look for it in the log, and never a page of it."""
    return f"{type(error).__name__}: {error}"[:200]


def _packed(envelopes: Sequence[Envelope]) -> np.ndarray:
    return _column([envelope.to_bytes() for envelope in envelopes])


def _unpacked(batch: Tensors) -> list[Envelope]:
    return [Envelope.from_bytes(data) for data in batch["envelope"][:, 0]]


def objects(values: Sequence[object]) -> np.ndarray:
    """Object ``[b]``; numpy would take a sequence apart."""
    held = np.empty(len(values), object)
    held[:] = values
    return held


def _column(values: list[bytes]) -> np.ndarray:
    return objects(values).reshape(-1, 1)


def _texts(rows: Sequence[Sequence[str]], width: int) -> np.ndarray:
    """Bytes ``[b, width]``, "" pads."""
    padded = [[*(text.encode() for text in row), *[b""] * (width - len(row))] for row in rows]
    return np.array(padded, object).reshape(len(rows), width)
