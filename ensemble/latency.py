"""How long a release takes for one request at a time, in this process: what the gate holds against its bound.

Without the store, the server and the network, which are the same for every release; ``loadtest/`` measures those.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from contracts.requests import Request
from ensemble.steps.chain import Chain

#: Requests before the first that counts: onnxruntime allocates, popularity fills its days.
_WARM_UP = 5


def measured(
    chain: Chain, requests: Sequence[Request], rows: Sequence[Mapping[str, Any]], as_of: Sequence[int]
) -> dict[str, dict[str, float]]:
    """Median and 95th percentile, ms, at batch 1: of the whole ``chain``, of ``two_tower`` and of ``ranker``."""
    taken: dict[str, list[float]] = {"chain": [], "two_tower": [], "ranker": []}
    for request, row, instant in zip(requests, rows, as_of):
        found, seconds = _timed(lambda: chain.answer([request], [row], [instant], 0))  # noqa: B023 (called at once)
        taken["chain"].append(seconds)
        taken["two_tower"].append(_timed(lambda: chain.retrieval.sources.two_tower(found.query))[1])  # noqa: B023
        inputs = found.envelopes, found.query, found.candidates
        taken["ranker"].append(_timed(lambda: chain.ranker(*inputs))[1])  # noqa: B023
    return {
        name: {
            f"p{percent}": round(float(np.percentile(seconds[min(_WARM_UP, len(seconds) - 1) :], percent)) * 1000, 2)
            for percent in (50, 95)
        }
        for name, seconds in taken.items()
    }


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    result = call()
    return result, time.perf_counter() - started
