"""What a candidate release must reach before it may be promoted: the ``[gate]`` table of a configuration.

``train evaluate`` applies it; a refusal names the figure, what was asked, and the setting. A loss counts only where it
is larger than its margin *and* beyond chance (the interval of the paired difference lies below zero), so that neither a
small slice's noise nor a gain's harmless price refuses a release.
"""

from __future__ import annotations

import dataclasses

#: What a candidate must be against the current release: not worse by more than the margin, or better beyond chance.
AGAINST_CURRENT = ("no_worse", "better")


@dataclasses.dataclass(frozen=True)
class GateSettings:
    """Bounds of the gate; every NDCG is NDCG@10 of full rankings."""

    #: Least ratio of the answers' NDCG to most-popular's.
    min_ratio: float = 1.1
    #: One of ``AGAINST_CURRENT``; both releases answer the very same requests.
    against_current: str = "no_worse"
    #: Share of the current release's NDCG that the candidate may lose.
    max_loss: float = 0.02
    #: The same within any slice of users or items, of at least ``min_slice_requests``.
    max_slice_loss: float = 0.1
    min_slice_requests: int = 50
    #: Greatest expected calibration error of the ranker's probabilities on window C.
    max_calibration_error: float = 0.02
    #: Least ratio of the NDCG of users with the most known interactions of the cold-start curve to that with none.
    min_cold_start_rise: float = 1.0
    #: Share of trending's NDCG, and of the step before, that the cold-start curve may fall below at any step.
    max_cold_start_loss: float = 0.05
    #: Greatest median time of the whole chain for one request in one process, ms.
    max_latency_ms: float = 100.0
