"""The step ``similar`` as Triton calls it: one request for items like an item in, one answer out.

Where the C++ backend serves, its one model answers these requests too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np

from contracts.errors import RequestError
from contracts.requests import SimilarAnswer, SimilarRequest, check_similar, parse_similar
from contracts.tensors import SIMILAR_REQUEST, TYPED_SIMILAR
from ensemble.asked import documents
from ensemble.impressions import OfItem
from ensemble.serving import Tensors, answer_tensors, now_ms, objects, reason
from ensemble.steps.envelope import Envelope
from ensemble.steps.similar import SimilarItems


class SimilarStep:
    """``similar``: checks and answers, always."""

    def __init__(
        self,
        similar: SimilarItems,
        answered: Callable[[OfItem], None],
        variant: str = "",
        clock: Callable[[], int] = now_ms,
    ):
        self._similar = similar
        self._answered = answered
        self._variant = variant
        self._clock = clock

    def prepare(self, tensors: Tensors) -> Tensors:
        """Checked requests, object ``[b]``, and the instants that came with them, object ``[b]`` of None or ms.

        Raises:
            RequestError: when one of them breaks the contract.
        """
        requests = _requests(tensors)
        instants: list[object] = [None] * len(requests)
        if "golden_row" in tensors:
            instants = [json.loads(text[0])["as_of"] for text in tensors["golden_row"]]
        return {"requests": objects(requests), "as_of": objects(instants)}

    def run(self, batch: Tensors) -> Tensors:
        """Answers with their envelopes, object ``[b]``."""
        requests, envelopes = self._under_way(batch)
        return _passages(envelopes, self._similar(requests, envelopes))

    def degrade(self, batch: Tensors, error: Exception) -> Tensors:
        """Trending, whatever is known of the items."""
        requests, envelopes = self._under_way(batch)
        envelopes = [envelope.with_skipped("retrieval", reason(error)) for envelope in envelopes]
        return _passages(envelopes, self._similar(requests, envelopes, only_trending=True))

    def finish(self, outputs: Tensors) -> Tensors:
        """One Triton request's answers as tensors."""
        answers: list[SimilarAnswer] = [passage.answer for passage in outputs["passages"]]
        made = answer_tensors(answers, [answer.to_json() for answer in answers])
        for passage in outputs["passages"]:
            self._answered(passage)
        return made

    def _under_way(self, batch: Tensors) -> tuple[list[SimilarRequest], list[Envelope]]:
        started = self._clock()
        envelopes = [
            self._similar.envelope(
                request, started if instant is None else instant, started, self._variant, instant is not None
            )
            for request, instant in zip(batch["requests"], batch["as_of"])
        ]
        return list(batch["requests"]), envelopes


def _passages(envelopes: Sequence[Envelope], answers: Sequence[SimilarAnswer]) -> Tensors:
    return {"passages": objects([OfItem(envelope, answer) for envelope, answer in zip(envelopes, answers)])}


def _requests(tensors: Tensors) -> list[SimilarRequest]:
    if SIMILAR_REQUEST.name in tensors:
        return [parse_similar(body) for body in np.ravel(tensors[SIMILAR_REQUEST.name])]
    if "item_id" not in tensors:
        raise RequestError("item_id", "expected a non-empty string, got None")
    return [check_similar(document) for document in documents(tensors, TYPED_SIMILAR)]
