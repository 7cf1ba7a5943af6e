"""The request on its way through the steps: what was asked, when, and what went wrong so far."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence

from contracts.impressions import PROBE_REQUEST_ID
from contracts.requests import DEFAULT_DEADLINE_MS, DEFAULT_K


@dataclasses.dataclass(frozen=True)
class Envelope:
    """One request under way.

    Attributes:
        region: of the request, else the user's home region; "" is all regions.
        excluded: item codes that must not be answered.
        categories: codes of the only categories that may be answered; None: all.
        price_min: the least price that may be answered; None: any, and unknown ones.
        price_max: the greatest.
        available: whether only what is there may be answered.
        diversity: how unlike the items of the list are to be, from 0 to 1.
        recorded: whether the request brought its row along: live states of items are not for it.
        as_of: the instant for which features and trends hold, ms.
        deadline: wall clock by which a step must have started, ms.
        evidence: the user's interactions ever.
        session_dwell_ms: dwell reported since the user's newest session began.
        feature_age_ms: ``as_of`` less the newest interaction; -1 when there is none.
        batch: which body of its Triton request it is an element of; -1 is a body of its own.
        refusal: why it is no request, so that its answer is not sent; "" when it is one.
        skipped: (stage, reason) of every stage that could not do its part.
        anonymous_id, session_id, device, context: of the request, for its impression.
    """

    user_id: str
    as_of: int
    deadline: int
    k: int = DEFAULT_K
    region: str = ""
    excluded: tuple[int, ...] = ()
    categories: tuple[int, ...] | None = None
    price_min: float | None = None
    price_max: float | None = None
    available: bool = True
    diversity: float = 0.0
    recorded: bool = False
    request_id: str = ""
    evidence: int = 0
    session_dwell_ms: int = 0
    feature_age_ms: int = -1
    variant: str = ""
    batch: int = -1
    refusal: str = ""
    skipped: tuple[tuple[str, str], ...] = ()
    anonymous_id: str = ""
    session_id: str = ""
    device: str = ""
    context: Mapping[str, str | float | bool] = dataclasses.field(default_factory=dict)

    @property
    def shown(self) -> bool:
        """Whether somebody sees the answer, so that its impression is logged."""
        return not self.recorded and self.request_id != PROBE_REQUEST_ID

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
        raw["categories"] = None if raw["categories"] is None else tuple(raw["categories"])
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
