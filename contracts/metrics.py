"""What serving measures of itself: the metrics that the python steps and their C++ twin share.

Names follow Prometheus' conventions: base units, ``_total`` for counters. Every label has few values, known before:
what comes from outside is never one. ``docs/metrics.md`` says what each means, and what to do when it is off.
"""

from __future__ import annotations

import dataclasses

from contracts.tensors import HUNG_THREADS

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"


@dataclasses.dataclass(frozen=True)
class Metric:
    """One metric; ``bounds`` are the upper ones of a histogram's buckets."""

    name: str
    kind: str
    doc: str
    label: str = ""
    bounds: tuple[float, ...] = ()


ANSWERS = Metric("trireme_answers_total", COUNTER, "Requests that were answered.", "release")
ITEMS = Metric("trireme_answered_items_total", COUNTER, "Items of answers by where they came from.", "source")
SKIPPED = Metric("trireme_skipped_total", COUNTER, "Answers that a stage had no part in.", "stage")
DEGRADED = Metric("trireme_degraded_answers_total", COUNTER, "Answers that a stage had no part in, by why.", "reason")
FEATURE_AGE = Metric(
    "trireme_feature_age_seconds",
    HISTOGRAM,
    "The request's time less the user's newest interaction, of users who have one.",
    bounds=(0.1, 1, 10, 60, 600, 3600, 21_600, 86_400, 604_800, 2_592_000, 31_536_000),
)
BATCH = Metric("trireme_batch_requests", HISTOGRAM, "Requests of a batch.", "model", (1, 2, 4, 8, 16, 32, 64, 128, 256))
STAGE_SECONDS = Metric(
    "trireme_stage_duration_seconds",
    HISTOGRAM,
    "Time of a batch in a stage.",
    "stage",
    (0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5),
)
#: Of the C++ twin alone, whose stages run on one thread.
STAGE_CPU = Metric(
    "trireme_stage_cpu_seconds_total", COUNTER, "CPU time by stage: of one batch in 16, counted 16 times.", "stage"
)
CACHE_LOOKUPS = Metric(
    "trireme_cache_lookups_total", COUNTER, "Looks for what is kept in memory of a bucket of time.", "outcome"
)
ITEM_STATE_AGE = Metric("trireme_item_state_age_seconds", GAUGE, "Since states of items were looked at.", "release")
HUNG = Metric(
    HUNG_THREADS, GAUGE, "Threads of a stage that took longer than their budget and have not come back.", "stage"
)
SENT = Metric("trireme_impressions_sent_total", COUNTER, "Impressions sent to their publisher.")
DROPPED = Metric("trireme_impressions_dropped_total", COUNTER, "Impressions that could not be sent, by why.", "reason")

#: The values of ``CACHE_LOOKUPS``' label: what was looked for was kept, or had to be made.
HIT, MISS = "hit", "miss"

#: What a reason in an answer holds -> the value of ``DEGRADED``'s label; all others are faults.
REASONS = {
    "deadline passed": "deadline",
    "online ": "online_store",
    "took longer than": "overrun",
    "not begun": "overrun",
    "no item of the release": "unknown_item",
    "may be listed": "few_items",
}
FAILURE = "failure"


def degraded_by(reason: str) -> str:
    """The label's value for what an answer says of a stage that it did without.

    Example:
        >>> degraded_by("deadline passed 3 ms before it started"), degraded_by("ValueError: no")
        ('deadline', 'failure')
    """
    return next((value for words, value in REASONS.items() if words in reason), FAILURE)
