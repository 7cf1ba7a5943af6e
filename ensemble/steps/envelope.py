"""The request on its way through the steps: what was asked, when, and what went wrong so far."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence

from contracts.requests import DEFAULT_DEADLINE_MS, DEFAULT_K


@dataclasses.dataclass(frozen=True)
class Envelope:
    """One request under way.

    Attributes:
        region: of the request, else the user's home region; "" is all regions.
        excluded: item codes that must not be answered.
        as_of: the instant for which features and trends hold, ms.
        deadline: wall clock by which a step must have started, ms.
        evidence: the user's interactions ever.
        session_dwell_ms: dwell reported since the user's newest session began.
        feature_age_ms: ``as_of`` less the newest interaction; -1 when there is none.
        skipped: (stage, reason) of every stage that could not do its part.
        anonymous_id, session_id, device, context: of the request, for its impression.
        shown: whether somebody sees the answer, so that its impression is logged.
    """

    user_id: str
    as_of: int
    deadline: int
    k: int = DEFAULT_K
    region: str = ""
    excluded: tuple[int, ...] = ()
    request_id: str = ""
    evidence: int = 0
    session_dwell_ms: int = 0
    feature_age_ms: int = -1
    variant: str = ""
    skipped: tuple[tuple[str, str], ...] = ()
    anonymous_id: str = ""
    session_id: str = ""
    device: str = ""
    context: Mapping[str, str | float | bool] = dataclasses.field(default_factory=dict)
    shown: bool = True

    def with_skipped(self, stage: str, reason: str) -> Envelope:
        """The same, with one more stage that could not do its part."""
        return dataclasses.replace(self, skipped=(*self.skipped, (stage, reason)))

    def to_bytes(self) -> bytes:
        """JSON, as it crosses from step to step."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Envelope:
        """The inverse of ``to_bytes``."""
        raw = json.loads(data)
        raw["excluded"] = tuple(raw["excluded"])
        raw["skipped"] = tuple((stage, reason) for stage, reason in raw["skipped"])
        return cls(**raw)


def skip_overdue(envelopes: Sequence[Envelope], stage: str, now_ms: int) -> tuple[list[Envelope], list[bool]]:
    """Which requests have time left for a stage; the others are marked.

    Returns:
        the envelopes, and per envelope whether the stage should run for it.
    """
    marked, due = [], []
    for envelope in envelopes:
        late = now_ms - envelope.deadline
        due.append(late <= 0)
        marked.append(
            envelope if late <= 0 else envelope.with_skipped(stage, f"deadline passed {late} ms before it started")
        )
    return marked, due


def deadline(started_ms: int, budget_ms: int = DEFAULT_DEADLINE_MS) -> int:
    """The wall clock by which the last step must have started, ms."""
    return started_ms + budget_ms
