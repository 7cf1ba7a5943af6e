"""A step under a budget: it runs on a thread beside the one that answers, and is left behind when it takes too long.

Python cannot end a thread, so one that hangs stays; it is counted (``Worker.left_behind``), and the watchdog of the
stack (``deploy/watchdog.py``) replaces the whole process when there are two.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from ensemble.faults import Faults
from ensemble.serving import now_ms
from ensemble.steps.envelope import Envelope

Tensors = dict[str, np.ndarray]

#: A step may use this share of what its request has left: whoever comes after a step that hangs has time as well...
SHARE = 0.5
#: ...and no more than this, ms, however patient the request: after a second Envoy asks another server.
MOST_MS = 500.0
#: While one thread hangs, the next run has to show within this, ms, that it does not: those behind it wait as well.
SUSPECT_MS = 100.0
#: Recorded requests (golden ones) are judged by what they answer; their server may just have started.
RECORDED_MS = 30_000.0
#: No step is given less, ms: a request in a hurry must not cost its neighbours in the batch their answers...
LEAST_MS = 20.0
#: ...and least of all the step that answers, which has to, however late it is.
LEAST_MS_TO_ANSWER = 100.0
#: Threads left behind at once; while there are so many nothing more is started.
MOST_LEFT_BEHIND = 2


class OverrunError(Exception):
    """A step took longer than its budget, or was not begun because earlier ones still hang."""


def step_budget_ms(left_ms: list[int], least_ms: float = LEAST_MS) -> float:
    """What a step may take for a batch, from the ms that its requests have left; those that have none do not count.

    Example:
        >>> step_budget_ms([1000, 400, -3])
        200.0
    """
    least = min((left for left in left_ms if left > 0), default=0)
    return min(max(least * SHARE, least_ms), MOST_MS)


class Worker:
    """Runs calls one at a time on a thread of its own; for one caller."""

    def __init__(self, name: str):
        self._name = name
        self._lock = threading.Lock()
        self._left_behind = 0
        self._jobs: queue.SimpleQueue[_Job] | None = None

    @property
    def left_behind(self) -> int:
        """Threads that overran and have not come back."""
        return self._left_behind

    def run(self, call: Callable[[], Any], budget_ms: float) -> Any:
        """What ``call`` returns or raises.

        Raises:
            OverrunError: when it has not returned after ``budget_ms``, or was not begun.
        """
        if self._left_behind >= MOST_LEFT_BEHIND:
            raise OverrunError(f"not begun: {self._left_behind} earlier runs hang")
        if self._jobs is None:
            self._jobs = queue.SimpleQueue()
            threading.Thread(target=self._serve, args=(self._jobs,), name=self._name, daemon=True).start()
        job = _Job(call)
        self._jobs.put(job)
        if not job.ended.wait(budget_ms / 1000) and self._leave(job):
            self._jobs = None
            raise OverrunError(f"took longer than its {budget_ms:.0f} ms")
        if job.error is not None:
            raise job.error
        return job.result

    def _leave(self, job: _Job) -> bool:
        """Give a job up, unless it has ended just now."""
        with self._lock:
            if job.ended.is_set():
                return False
            job.is_left = True
            self._left_behind += 1
        return True

    def _serve(self, jobs: queue.SimpleQueue[_Job]) -> None:
        while True:
            job = jobs.get()
            job.execute()
            with self._lock:
                job.ended.set()
                if not job.is_left:
                    continue
                self._left_behind -= 1
                return  # another thread has taken this one's place


class _Job:
    def __init__(self, call: Callable[[], Any]):
        self.call = call
        self.ended = threading.Event()
        self.is_left = False
        self.result: Any = None
        self.error: Exception | None = None

    def execute(self) -> None:
        try:
            self.result = self.call()
        except Exception as error:
            self.error = error


class Step(Protocol):
    """A step of ``ensemble/serving.py``."""

    def prepare(self, tensors: Tensors) -> Tensors:
        """Check one request's inputs; arrays with a batch dimension."""
        ...

    def run(self, batch: Tensors) -> Tensors:
        """Serve all of a batch."""
        ...

    def degrade(self, batch: Tensors, error: Exception) -> Tensors:
        """Serve a batch that cannot be run."""
        ...

    def finish(self, outputs: Tensors) -> Tensors:
        """One request's outputs as the model's tensors."""
        ...


class Budgeted:
    """A step under the budget of its requests; the caller's thread tells ``report`` how many of its threads hang."""

    def __init__(
        self,
        stage: str,
        step: Step,
        report: Callable[[int], None],
        faults: Faults,
        clock: Callable[[], int] = now_ms,
        least_ms: float = LEAST_MS,
    ):
        self._step = step
        self._report = report
        self._faults = faults
        self._clock = clock
        self._least_ms = least_ms
        self._worker = Worker(stage)
        self.prepare = step.prepare
        self.degrade = step.degrade
        self.finish = step.finish

    def run(self, batch: Tensors) -> Tensors:
        """Serve all of a batch in time.

        Raises:
            OverrunError: when the step took longer, or was not begun because earlier runs hang.
        """
        left = self._left_ms(batch)
        budget_ms = step_budget_ms(left, self._least_ms) if left else RECORDED_MS
        if self._worker.left_behind:
            budget_ms = min(budget_ms, SUSPECT_MS)
        try:
            return self._worker.run(lambda: self._struck(batch), budget_ms)
        finally:
            self._report(self._worker.left_behind)

    def _struck(self, batch: Tensors) -> Tensors:
        self._faults.strike()
        return self._step.run(batch)

    def _left_ms(self, batch: Mapping[str, np.ndarray]) -> list[int]:
        """Of the requests that were not recorded."""
        if "asked" in batch:  # a first step: time begins with it
            return [one.request.deadline_ms for one in batch["asked"] if one.golden is None]
        if "requests" in batch:
            return [one.deadline_ms for one, instant in zip(batch["requests"], batch["as_of"]) if instant is None]
        now, envelopes = self._clock(), map(Envelope.from_bytes, batch["envelope"][:, 0])
        return [envelope.deadline - now for envelope in envelopes if not envelope.recorded]
