"""What the python steps say on Triton's metrics page, and the log of impressions: what is done beside answering.

Names and labels: ``contracts/metrics.py``; the C++ twin: ``ensemble/backend/triton_metrics.cc``.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from contracts import metrics
from contracts.impressions import DROPPED
from contracts.requests import Source
from contracts.stack import stack_settings
from contracts.tensors import STEP_BY_NAME
from ensemble.budget import Step
from ensemble.impression_log import ImpressionLog
from ensemble.impressions import Impressions, OfItem, Passage
from ensemble.steps.bucket_log import Lookups
from ensemble.steps.popularity import Popularity
from ensemble.steps.ranker import RankerFeatures
from ensemble.steps.tables import Tables
from ensemble.triton_io import Family, budgeted, execute


def impression_log(tables: Tables, popularity: Popularity) -> ImpressionLog | None:
    """The way to the publisher of impressions, where the environment names one."""
    path = stack_settings().impressions
    return ImpressionLog(path, Impressions(tables, RankerFeatures(tables, popularity))) if path else None


class Measured:
    """``execute`` of a step under its budget, with how many requests its batches have and how long they take.

    Of a step that keeps vectors, with how often they were there.
    """

    def __init__(self, name: str, step: Step, lookups: Lookups | None = None):
        self._name, self._step = name, budgeted(name, step)
        self._batch = Family(metrics.BATCH, (name,))
        self._seconds = Family(metrics.STAGE_SECONDS, (name,))
        self._lookups = lookups
        self._looks = Family(metrics.CACHE_LOOKUPS, (metrics.HIT, metrics.MISS)) if lookups else None

    def __call__(self, requests: Sequence[Any]) -> list[Any]:
        """Answer a batch."""
        started = time.perf_counter()
        responses = execute(requests, self._name, self._step)
        self._seconds.observe(time.perf_counter() - started, self._name)
        self._batch.observe(len(requests), self._name)
        if self._lookups and self._looks:
            for outcome, number in self._lookups.counts().items():
                self._looks.add(number, outcome)
        return responses


class Answered:
    """What is done of every answer when it is made: it is counted, and its impression logged."""

    def __init__(self, release: str, item_state_age_seconds: Callable[[], float], log: ImpressionLog | None):
        self._release, self._log = release, log
        self._item_state_age_seconds = item_state_age_seconds
        self._item_state_age = Family(metrics.ITEM_STATE_AGE, (release,))
        self._answers = Family(metrics.ANSWERS, (release,))
        self._items = Family(metrics.ITEMS, (Source.PERSONAL, Source.SIMILAR, Source.TRENDING))
        self._skipped = Family(metrics.SKIPPED, STEP_BY_NAME)
        self._degraded = Family(metrics.DEGRADED, {*metrics.REASONS.values(), metrics.FAILURE})
        self._age = Family(metrics.FEATURE_AGE)
        self._sent = Family(metrics.SENT)
        self._dropped = Family(metrics.DROPPED, DROPPED)

    def __call__(self, passage: Passage | OfItem) -> None:
        """Count one answer, and hand it to the log, which counts by itself: that is told at the next answer."""
        answer = passage.answer
        self._answers.add(1, self._release)
        self._item_state_age.set(self._item_state_age_seconds(), self._release)
        for source, number in Counter(answer.sources).items():
            self._items.add(number, source)
        for skipped in answer.skipped:
            self._skipped.add(1, skipped["stage"])
            self._degraded.add(1, metrics.degraded_by(skipped["reason"]))
        if answer.feature_age_ms >= 0:
            self._age.observe(answer.feature_age_ms / 1000)
        if self._log:
            self._log(passage)
            for what, number in self._log.counts().items():
                self._sent.add(number) if what == "sent" else self._dropped.add(number, what)

    def close(self) -> None:
        """End the log."""
        if self._log:
            self._log.close()
